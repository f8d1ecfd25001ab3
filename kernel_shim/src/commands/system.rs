//! Commands about the guest itself.

use crate::console::banner::Banner;
use crate::console::table;
use crate::{memory_map, report};
use shim_parts::command::{Args, Command, CommandResult};
use shim_parts::reply::{ExitCode, Reply};

pub const COMMANDS: &[Command] = &[
    Command::new("help", "[prefix]", "list the commands", help),
    Command::new("banner", "", "show the banner again", banner),
    Command::new("map", "", "show the memory map: base, end, kind", map),
    Command::new("onpanic", "halt|recover", "what a panic of a command does", onpanic),
    Command::new("exit", "pass|fail|panic", "reply, then end the guest", exit),
];

fn help(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let prefix = args.next_word().unwrap_or("");
    args.end()?;
    let mut count = 0;
    for command in table::all().filter(|command| command.name.starts_with(prefix)) {
        let gap = if command.usage.is_empty() { "" } else { " " };
        reply.data(format_args!("{}{gap}{} - {}", command.name, command.usage, command.help));
        count += 1;
    }
    reply.field("commands", count);
    Ok(())
}

fn banner(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    reply.data(format_args!("{Banner}"));
    Ok(())
}

fn map(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let map = memory_map::current();
    let regions = map.regions();
    for region in regions {
        reply.data(format_args!("{:#x} {:#x} {}", region.base, region.end, region.kind.name()));
    }
    reply.field("regions", regions.len());
    Ok(())
}

fn onpanic(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let choices = [("halt", false), ("recover", true)];
    report::set_recovers(args.only(|args| args.choice("halt|recover", &choices))?);
    Ok(())
}

fn exit(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let choices = [("pass", ExitCode::Pass), ("fail", ExitCode::Fail), ("panic", ExitCode::Panic)];
    reply.exit_after(args.only(|args| args.choice("pass|fail|panic", &choices))?);
    Ok(())
}
