//! Commands that let several CPUs run programs at the same time.

use super::operand;
use crate::cpus::record::{participants_of, Cpu, LogEntry, LOG_CAPACITY, MAX_STEPS, SMP};
use crate::cpus::rounds;
use core::sync::atomic::Ordering::Relaxed;
use shim_parts::args::parse;
use shim_parts::command::{refused, Args, Code, Command, CommandError, CommandResult, Reply};
use shim_parts::pfn_to_paddr;
use shim_parts::step::{Op, Step, MAX_FRAMES};
use x86_64::PhysAddr;

pub const COMMANDS: &[Command] = &[
    Command::new("smp.ops", "", "list the operations of programs", operations),
    Command::new("smp.frames", "<paddr> [<paddr>...]", "the frames that steps name as @0, @1, ...", frames),
    Command::new(
        "smp.job",
        "<cpu> <iterations> [traced|logged|seed=<n>] <op>[@frame][=value][~delay] ...",
        "give a CPU a program",
        job,
    ),
    Command::new("smp.run", "<cpu mask>", "let CPUs run their programs, wait for all", run_programs),
    Command::new("smp.arm", "<cpu mask>", "wake CPUs for a run that begins when the host says so", arm),
    Command::new("smp.wait", "", "wait for the end of an armed run", wait),
    Command::new("smp.result", "<cpu>", "what a CPU counted in the last run", result),
    Command::new("smp.log", "<cpu>", "the first logged steps of the last run", log),
];

fn operations(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    for op in Op::ALL {
        reply.data(format_args!("{} - {}", op.name(), op.help()));
    }
    reply.field("n", Op::ALL.len());
    Ok(())
}

fn frames(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (mut paddrs, mut count) = ([0; MAX_FRAMES], 0);
    // One more than fits is refused by `Args::end`.
    while count < MAX_FRAMES && (count == 0 || !args.is_empty()) {
        paddrs[count] = pfn_to_paddr(operand::pfn(args)?);
        operand::require_block(PhysAddr::new(paddrs[count]), 0)?;
        count += 1;
    }
    args.end()?;
    for (cell, paddr) in SMP.frames.iter().zip(paddrs) {
        cell.store(paddr, Relaxed);
    }
    Ok(())
}

fn cpu(args: &mut Args<'_>) -> Result<&'static Cpu, CommandError> {
    let cpu = args.u64("cpu")?;
    let ready = SMP.ready();
    if cpu < ready {
        Ok(&SMP.cpus[cpu as usize])
    } else {
        Err(refused(Code::Range, format_args!("cpu {cpu}: this guest has {ready}")))
    }
}

fn job(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (cpu, iterations) = (cpu(args)?, args.u64("iterations")?);
    let (mut traced, mut logged, mut seed) = (false, false, 1);
    let (mut steps, mut count) = ([Step::NOTHING; MAX_STEPS], 0);
    while let Some(word) = args.next_word() {
        match word.split_once('=') {
            None if word == "traced" => traced = true,
            None if word == "logged" => logged = true,
            Some(("seed", value)) => seed = parse("seed", value, u64::MAX)?,
            _ if count == MAX_STEPS => {
                return Err(refused(Code::TooLong, format_args!("expected at most {MAX_STEPS} steps")));
            }
            _ => {
                steps[count] = Step::parse(word)?;
                count += 1;
            }
        }
    }
    for (cell, step) in cpu.steps.iter().zip(&steps[..count]) {
        cell.op.store(step.op as u64, Relaxed);
        cell.frame.store(step.frame, Relaxed);
        cell.value.store(step.value, Relaxed);
        cell.delay.store(step.delay, Relaxed);
    }
    let settings = [
        (&cpu.n_steps, count as u64),
        (&cpu.iterations, iterations),
        (&cpu.traced, traced.into()),
        (&cpu.logged, logged.into()),
        (&cpu.seed, seed),
    ];
    settings.iter().for_each(|(cell, value)| cell.store(*value, Relaxed));
    Ok(())
}

fn run_programs(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let mask = mask(args)?;
    rounds::run(mask);
    report_sums(mask, reply);
    Ok(())
}

fn arm(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let mask = mask(args)?;
    if mask & 1 == 1 {
        return Err(refused(Code::State, format_args!("cpu 0 serves the console, it cannot be armed")));
    }
    reply.field("run", rounds::arm(mask));
    Ok(())
}

fn wait(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    rounds::require_boot_cpu()?;
    if !rounds::is_armed() {
        return Err(refused(Code::State, format_args!("no run is armed")));
    }
    rounds::wait();
    report_sums(SMP.participants.load(Relaxed), reply);
    Ok(())
}

fn mask(args: &mut Args<'_>) -> Result<u64, CommandError> {
    let mask = args.only(|args| args.u64("cpu mask"))?;
    operand::require_buddy()?;
    rounds::require_idle()?;
    let ready = SMP.ready();
    if mask == 0 || mask >> ready != 0 {
        return Err(refused(Code::Range, format_args!("cpu mask {mask:#x}: this guest has {ready} cpus")));
    }
    Ok(mask)
}

fn report_sums(mask: u64, reply: &mut Reply) {
    let sum = |name: &str| -> u64 {
        let named = participants_of(mask).flat_map(|cpu| cpu.counters.named());
        named.filter(|(known, _)| *known == name).map(|(_, counter)| counter.load(Relaxed)).sum()
    };
    for name in ["iterations", "steps", "violations"] {
        reply.field(name, sum(name));
    }
    reply.flag("stopped", SMP.stopped());
}

fn result(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let cpu = args.only(cpu)?;
    for (name, counter) in cpu.counters.named() {
        reply.field(name, counter.load(Relaxed));
    }
    reply.field("ticks", cpu.ended_tsc.load(Relaxed).wrapping_sub(cpu.began_tsc.load(Relaxed)));
    let first = &cpu.first;
    if let Some(op) = (first.op.load(Relaxed) as usize).checked_sub(1).and_then(|number| Op::ALL.get(number)) {
        reply.field("first", op.name());
        reply.hex("paddr", first.paddr.load(Relaxed));
        reply.hex("expected", first.expected.load(Relaxed));
        reply.hex("got", first.got.load(Relaxed));
        reply.field("iteration", first.iteration.load(Relaxed));
    }
    Ok(())
}

fn log(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let cpu = args.only(cpu)?;
    let total = cpu.n_logged.load(Relaxed);
    for entry in &cpu.log[..(total as usize).min(LOG_CAPACITY)] {
        let LogEntry { began_tsc, ended_tsc, op, paddr, result } = entry;
        let name = Op::ALL.get(op.load(Relaxed) as usize).map_or("?", |op| op.name());
        reply.data(format_args!(
            "{} {} {name} {:#x} {:#x}",
            began_tsc.load(Relaxed),
            ended_tsc.load(Relaxed),
            paddr.load(Relaxed),
            result.load(Relaxed)
        ));
    }
    reply.field("n", total);
    Ok(())
}
