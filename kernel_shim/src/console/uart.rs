//! COM1, a 16550 (National PC16550D datasheet), as an interrupt-driven receiver with a polled transmitter.

use spin::Mutex;
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{FifoTriggerLevel, IER};
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

/// Receive trigger level 1 makes FCR 0x07. With the customary level 14 a short request would wait for the receiver's
/// character time-out: 4.5 ms a command instead of 0.05 ms (measured under QEMU).
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
