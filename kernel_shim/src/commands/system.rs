//! Commands about the guest itself.

use crate::arch::exit::ExitCode;
use crate::console::args::Args;
use crate::console::banner::Banner;
use crate::console::command::{refused, Code, Command, CommandResult};
use crate::console::reply::Reply;
use crate::memory::layout;
use crate::{commands, report};

pub const COMMANDS: &[Command] = &[
    Command { name: "help", usage: "[prefix]", help: "list the commands", run: help },
    Command { name: "banner", usage: "", help: "show the banner again", run: banner },
    Command { name: "map", usage: "", help: "show the memory map: base, end, kind", run: map },
    Command { name: "onpanic", usage: "halt|recover", help: "what a panic of a command does", run: onpanic },
    Command { name: "exit", usage: "pass|fail|panic", help: "reply, then end the guest", run: exit },
];

fn help(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let prefix = args.next().unwrap_or("");
    args.end()?;
    let mut count = 0;
    for command in commands::all().filter(|command| command.name.starts_with(prefix)) {
        let gap = if command.usage.is_empty() { "" } else { " " };
        reply.data(format_args!("{}{gap}{} - {}", command.name, command.usage, command.help));
        count += 1;
    }
    reply.field("commands", count);
    Ok(())
}

fn banner(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    reply.data(format_args!("{Banner}"));
    Ok(())
}

fn map(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    let map = layout::current();
    let regions = map.regions();
    for region in regions {
        reply.data(format_args!("{:#x} {:#x} {}", region.base, region.end, region.kind.name()));
    }
    reply.field("regions", regions.len());
    Ok(())
}

fn onpanic(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let recover = match args.word("halt|recover")? {
        "halt" => false,
        "recover" => true,
        other => {
            return Err(refused(Code::Usage, format_args!("expected halt or recover, got {other}")));
        }
    };
    args.end()?;
    report::set_recovers(recover);
    Ok(())
}

fn exit(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let code = match args.word("pass|fail|panic")? {
        "pass" => ExitCode::Pass,
        "fail" => ExitCode::Fail,
        "panic" => ExitCode::Crash,
        other => {
            return Err(refused(Code::Usage, format_args!("expected pass, fail or panic, got {other}")));
        }
    };
    args.end()?;
    reply.exit_after(code);
    Ok(())
}
