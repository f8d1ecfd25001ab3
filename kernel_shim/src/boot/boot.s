// From the loader's 32-bit protected mode to `kernel_main` in the higher half.
//
// PVH direct boot: Xen public headers arch-x86/hvm/start_info.h, elfnote.h (XEN_ELFNOTE_PHYS32_ENTRY); state at
// entry as in xen.git docs/misc/pvh.pandoc: 32-bit flat segments, paging off, %ebx = paddr of hvm_start_info.
// Long mode as in Intel SDM vol. 3A, 10.8.5 "Initializing IA-32e Mode".

    .section .note.Xen, "a", @note
    .balign 4
    .long 4                         // length of the name
    .long 8                         // length of the descriptor
    .long 18                        // XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_start - {KERNEL_BASE}

    .section .boot.text, "ax", @progbits
    .code32
    .global pvh_start
    .type pvh_start, @function
pvh_start:
    cli
    cld
    mov %ebx, %esi                  // CPUID overwrites %ebx
    mov $0x80000000, %eax           // the largest leaf, then features: SDM vol. 2A, CPUID
    cpuid
    cmp $0x80000001, %eax
    jb .Lunsupported_cpu
    mov $0x80000001, %eax
    cpuid
    and $0x20100000, %edx           // LM (bit 29), NX (bit 20)
    cmp $0x20100000, %edx
    jne .Lunsupported_cpu

    mov $0x20, %eax                 // CR4.PAE; SDM vol. 3A, 2.5 "Control Registers"
    mov %eax, %cr4
    mov $(boot_pml4 - {KERNEL_BASE}), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx           // IA32_EFER: LME (bit 8), NXE (bit 11); SDM vol. 3A, 2.2.1
    rdmsr
    or $0x900, %eax
    wrmsr
    mov $0x80010011, %eax           // CR0: PG, WP, ET, PE; no FPU state is ever touched (soft float)
    mov %eax, %cr0
    lgdt boot_gdt_pointer - {KERNEL_BASE}
    ljmp $8, $(.Llong_mode - {KERNEL_BASE})

// Nothing is set up yet: polled bytes to COM1 (the transmit register accepts them from reset on), then exit 0x12, which
// is ours as its port is. COM1's port: QEMU 7.2, hw/char/serial-isa.c.
.Lunsupported_cpu:
    mov $(.Lcpu_message - {KERNEL_BASE}), %esi
    mov $0x3f8, %dx
1:  lodsb
    test %al, %al
    jz 2f
    outb %al, %dx
    jmp 1b
2:  mov $0x12, %al
    mov $0xf4, %dx
    outb %al, %dx
3:  hlt
    jmp 3b

    .code64
.Llong_mode:
    movabs $.Lhigher_half, %rax
    jmp *%rax
.Lhigher_half:
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    lea {BOOT_STACK} + {BOOT_STACK_BYTES}(%rip), %rsp
    mov %esi, %edi                  // first argument, zero-extended
    xor %ebp, %ebp                  // ends the frame-pointer chain
    call kernel_main
    ud2
    .global pvh_end
pvh_end:
    .size pvh_start, . - pvh_start

    .section .rodata.boot, "a", @progbits
.Lcpu_message:
    .asciz "# boot: cpu: expected long mode with no-execute pages, got neither or one\n# next: choose another cpu model\n"

    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00209b0000000000        // 64-bit code (SDM vol. 3A, 3.4.5), accessed already set: the segment is read-only
boot_gdt_pointer:
    .word . - boot_gdt - 1
    .long boot_gdt - {KERNEL_BASE}

// Complete in the file, so that no byte of them depends on what RAM held. 2 MiB pages map the first 4 GiB three
// times: at 0 (dropped by paging::init), at the HHDM (no-execute) and, its first 1 GiB, at KERNEL_BASE.
    .set PRESENT_WRITABLE, 0x3      // bits of entries: SDM vol. 3A, 4.5; the APIC's default base: 11.4.1
    .set LARGE_PAGE, 0x83
    .section .boot.tables, "aw", @progbits
    .balign 4096
    .global boot_pml4, boot_hhdm_pdpt, boot_kernel_pdpt
boot_pml4:
    .quad boot_hhdm_pdpt - {KERNEL_BASE} + PRESENT_WRITABLE
    .fill {HHDM_ENTRY} - 1, 8, 0
    .quad boot_hhdm_pdpt - {KERNEL_BASE} + PRESENT_WRITABLE + 0x8000000000000000
    .fill 511 - {HHDM_ENTRY} - 1, 8, 0
    .quad boot_kernel_pdpt - {KERNEL_BASE} + PRESENT_WRITABLE
boot_hhdm_pdpt:
    .quad boot_pds - {KERNEL_BASE} + PRESENT_WRITABLE
    .quad boot_pds - {KERNEL_BASE} + 0x1000 + PRESENT_WRITABLE
    .quad boot_pds - {KERNEL_BASE} + 0x2000 + PRESENT_WRITABLE
    .quad boot_pds - {KERNEL_BASE} + 0x3000 + PRESENT_WRITABLE
    .fill 508, 8, 0
boot_kernel_pdpt:
    .fill 510, 8, 0
    .quad boot_pds - {KERNEL_BASE} + PRESENT_WRITABLE
    .quad 0
boot_pds:
    .set page, 0
    .rept 2048
    .if page == 0xfee00000              // the local APIC's registers: PCD, PWT
    .quad page + LARGE_PAGE + 0x18
    .else
    .quad page + LARGE_PAGE
    .endif
    .set page, page + 0x200000
    .endr

    .text
