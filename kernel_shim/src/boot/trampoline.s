// From real mode to `secondary_main` in the higher half, for every CPU but the one that booted.
//
// Copied to a page below 1 MiB, where a start-up IPI lets a CPU begin in real mode with CS = page number << 8, IP = 0
// (Intel SDM vol. 3A, 9.4.3, "MP Initialization Protocol Algorithm"). Long mode as in vol. 3A, 10.8.5.

    .section .rodata.trampoline, "a", @progbits
    .balign 16
    .code16
    .global trampoline, trampoline_parameters, trampoline_protected_mode, trampoline_long_mode, trampoline_end
trampoline:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    xor %ebx, %ebx
    mov %cs, %bx
    shl $4, %ebx                    // address of this page
    lgdtl (.Lgdt_pointer - trampoline)
    mov $0x11, %eax                 // CR0: ET, PE; SDM vol. 3A, 2.5 "Control Registers"
    mov %eax, %cr0
    ljmpl *(.Lto_protected_mode - trampoline)

    .code32
trampoline_protected_mode:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %ss
    mov $0x20, %eax                 // CR4.PAE; SDM vol. 3A, 2.5 "Control Registers"
    mov %eax, %cr4
    mov (.Ltop_table - trampoline)(%ebx), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx           // IA32_EFER: LME (bit 8), NXE (bit 11); SDM vol. 3A, 2.2.1
    rdmsr
    or $0x900, %eax
    wrmsr
    mov $0x80010011, %eax           // CR0: PG, WP, ET, PE
    mov %eax, %cr0
    ljmpl *(.Lto_long_mode - trampoline)(%ebx)

    .code64
trampoline_long_mode:
    movabs $secondary_higher_half, %rax
    jmp *%rax

    .balign 8
.Lgdt:
    .quad 0
    .quad 0x00cf9b000000ffff        // 8: 32-bit code, flat; SDM vol. 3A, 3.4.5 "Segment Descriptors"
    .quad 0x00cf93000000ffff        // 16: data, flat
    .quad 0x00209b0000000000        // 24: 64-bit code

// Filled in by the boot CPU (`Parameters` in arch/secondary.rs): whatever depends on where this page lies.
    .balign 8
trampoline_parameters:
.Lgdt_pointer:
    .word trampoline_parameters - .Lgdt - 1
    .long .Lgdt - trampoline
.Lto_protected_mode:
    .long trampoline_protected_mode - trampoline
    .word 8
.Lto_long_mode:
    .long trampoline_long_mode - trampoline
    .word 24
.Ltop_table:
    .long 0
trampoline_end:

    .section .boot.text, "ax", @progbits
    .code64
    .global secondary_higher_half, secondary_code_end
    .type secondary_higher_half, @function
secondary_higher_half:
    mov $(boot_pml4 - {KERNEL_BASE}), %eax      // the kernel's tables, without the first 4 GiB at 0
    mov %rax, %cr3
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov $1, %edi
    lock xadd %rdi, {ARRIVED}(%rip) // which CPU this is: the order of arrival, from 1
    cmp {EXPECTED}(%rip), %rdi
    jae 1f
    imul ${STRIDE}, %rdi, %rsp
    movabs ${FIRST_TOP} - {STRIDE}, %rax
    add %rax, %rsp
    xor %ebp, %ebp                  // ends the frame-pointer chain
    call {SECONDARY_MAIN}
    ud2
1:  hlt                             // nobody asked for so many
    jmp 1b
secondary_code_end:
    .size secondary_higher_half, . - secondary_higher_half

    .text
