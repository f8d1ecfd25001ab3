//! COM1, a 16550 (National PC16550D datasheet), as an interrupt-driven receiver with a polled transmitter.

use spin::Mutex;
use uart_16550::backend::{Backend, PioBackend};
use uart_16550::spec::registers::{offsets, FifoTriggerLevel, FCR, IER};
use uart_16550::{BaudRate, Config, Uart16550};

const COM1: u16 = 0x3f8;

type Uart = Uart16550<PioBackend>;

static UART: Mutex<Uart> = Mutex::new(com1());

const fn com1() -> Uart {
    // SAFETY: 0x3f8..0x400 is COM1 on every PC; reading and writing it touches no memory.
    match unsafe { Uart16550::new_port(COM1) } {
        Ok(uart) => uart,
        Err(_) => panic!("port 0x3f8 and the seven after it exist"),
    }
}

/// Receive trigger level 1 makes FCR 0x07: every byte that arrives wakes a sleeper. Left at the customary level 14, each
/// command would cost the receiver's character time-out, 4 characters at 115200 baud, before it is even begun.
pub fn init() {
    let config = Config {
        interrupts: IER::DATA_READY,
        fifo_trigger_level: Some(FifoTriggerLevel::One),
        baud_rate: BaudRate::Baud115200,
        ..Config::DEFAULT
    };
    // Without a UART nobody hears a complaint; the exit status is all that is left.
    if UART.lock().init(config).is_err() {
        crate::arch::exit::exit(crate::arch::exit::ExitCode::Crash);
    }
}

/// When received bytes are announced by an interrupt: each at once, or when the FIFO is nearly full or its bytes have
/// waited for the time of 4 characters (datasheet, "FIFO Interrupt Mode Operation").
///
/// QEMU hands over as many bytes at once as are missing up to the trigger level (hw/char/serial.c,
/// `serial_can_receive`, 7.2): one at level 1, each at the price of a turn of its main loop.
pub enum Announce {
    EachByte,
    Burst,
}

/// Chooses; what the FIFO holds stays in it.
pub fn announce(when: Announce) {
    let level = match when {
        Announce::EachByte => FifoTriggerLevel::One,
        Announce::Burst => FifoTriggerLevel::Fourteen,
    };
    let control = FCR::FIFO_ENABLE.set_fifo_trigger_level(level).bits();
    // SAFETY: FCR of a 16550 that `init` has found; the driver's own idea of the level is used by `init` alone.
    unsafe { UART.lock().backend_mut().write(offsets::FCR as u8, control) }
}

/// One received byte, if there is one.
pub fn try_receive() -> Option<u8> {
    UART.lock().try_receive_byte().ok()
}

/// Sends all of it, waiting for the host where it must.
pub fn send(bytes: &[u8]) {
    UART.lock().send_bytes_exact(bytes);
}

/// As [`send`], for crash reports: takes no lock, because whoever holds it was interrupted and never goes on.
pub fn send_in_crash(bytes: &[u8]) {
    com1().send_bytes_exact(bytes);
}
