#include "textflag.h"

// CLASS looks up what the 32 bytes at x are: class = low[x & 15] & high[x >> 4]. PSHUFB gives 0 for bytes over 127.
#define CLASS(x, class) \
	VPSHUFB x, Y12, class \
	VPSRLW  $4, x, x      \
	VPAND   x, Y15, x     \
	VPSHUFB x, Y13, x     \
	VPAND   x, class, class

// NONE gives the 64 bits of the bytes in Y2 and Y3 that have none of the classes in want.
#define NONE(want, result, scratch) \
	VPAND     Y2, want, Y0      \
	VPAND     Y3, want, Y1      \
	VPCMPEQB  Y0, Y11, Y0       \
	VPCMPEQB  Y1, Y11, Y1       \
	VPMOVMSKB Y0, result        \
	VPMOVMSKB Y1, scratch       \
	SHLQ      $32, scratch      \
	ORQ       scratch, result

// PLACE writes the lowest bit of R8 as a place, and clears it.
#define PLACE(slot) \
	TZCNTQ R8, AX       \
	ADDQ   DX, AX       \
	MOVW   AX, slot(DI) \
	BLSRQ  R8, R8

// func markAVX2(m *marks, at *uint16, p []byte, ends byte, classes *[2][16]byte)
// m is carry and n. What is less than a block at the end is read with the bytes before it, and its bits
// are shifted down over theirs: CX is by how many, 0 for whole blocks.
TEXT ·markAVX2(SB), NOSPLIT, $0-56
	MOVQ m+0(FP), AX
	MOVQ 0(AX), R11        // carry
	MOVQ at+8(FP), DI      // where to write
	MOVQ p_base+16(FP), SI
	MOVQ p_len+24(FP), R15 // bytes to come
	MOVQ classes+48(FP), AX
	XORL DX, DX            // where the block begins
	XORL CX, CX

	VBROADCASTI128 (AX), Y12
	VBROADCASTI128 16(AX), Y13
	VPBROADCASTB   ends+40(FP), Y14
	MOVL           $0x0f, AX
	VMOVD          AX, X15
	VPBROADCASTB   X15, Y15    // low halves; also the classes of short escapes
	VPXOR          Y11, Y11, Y11
	MOVQ           $0x5555555555555555, R14

block:
	SUBQ $64, R15
	JL   last

load:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	ADDQ    $64, SI
	CLASS(Y0, Y2)
	CLASS(Y1, Y3)

	VPMOVMSKB Y2, R9
	VPMOVMSKB Y3, R10
	SHLQ      $32, R10
	ORQ       R10, R9    // backslashes
	NONE(Y14, R8, R10)
	NOTQ      R8         // ends
	SHRXQ     CX, R8, R8
	SHRXQ     CX, R9, R9

	MOVQ R9, AX
	ORQ  R11, AX
	JNZ  escapes

places:
	POPCNTQ R8, R10
	TESTQ   R8, R8
	JZ      empty

eight:
	PLACE(0)
	PLACE(2)
	PLACE(4)
	PLACE(6)
	PLACE(8)
	PLACE(10)
	PLACE(12)
	PLACE(14)
	CMPQ R10, $8
	JLE  some
	SUBQ $8, R10
	ADDQ $16, DI
	JMP  eight

some:
	LEAQ (DI)(R10*2), DI

empty:
	ADDQ $64, DX
	JMP  block

last:
	CMPQ R15, $-64
	JLE  done              // there is no rest
	ADDQ R15, SI
	MOVQ R15, CX
	NEGQ CX
	MOVQ $-64, R15         // and then there is none
	JMP  load

escapes:
	NONE(Y15, R10, AX)    // not short
	SHRXQ CX, R10, R10
	MOVQ R11, R12
	NOTQ R12
	ANDQ R12, R9          // slash &^= carry
	LEAQ (R11)(R9*2), R13 // follows = slash<<1 | carry
	MOVQ R14, R12
	ORQ  R13, R12
	NOTQ R12
	ANDQ R9, R12          // slash &^ even &^ follows
	XORL R11, R11
	ADDQ R9, R12
	ADCQ R11, R11         // the next carry
	SHLQ $1, R12
	XORQ R14, R12
	ANDQ R13, R12         // escaped
	TESTQ CX, CX
	JZ   marks
	NEGQ CX               // the carry is that of the last byte
	SHRXQ CX, R12, R11
	ANDQ $1, R11

marks:
	ANDQ R12, R10         // escaped &^ short
	XORQ R10, R12         // escaped & short
	NOTQ R12
	ANDQ R12, R8
	ORQ  R10, R8
	JMP  places

done:
	VZEROUPPER
	MOVQ m+0(FP), AX
	MOVQ R11, 0(AX)
	SUBQ at+8(FP), DI
	SHRQ $1, DI
	MOVQ DI, 8(AX)         // n
	RET

// "us and "ti
DATA letters<>+0(SB)/8, $"\"usti   "
GLOBL letters<>(SB), RODATA|NOPTR, $8

// func findNameAVX2(p []byte) int
TEXT ·findNameAVX2(SB), NOSPLIT, $0-32
	MOVQ p_base+0(FP), SI
	MOVQ p_len+8(FP), CX
	MOVQ SI, DI
	LEAQ -34(SI)(CX*1), R8 // the last place to look at

	VPBROADCASTB letters<>+0(SB), Y8
	VPBROADCASTB letters<>+1(SB), Y9
	VPBROADCASTB letters<>+2(SB), Y10
	VPBROADCASTB letters<>+3(SB), Y11
	VPBROADCASTB letters<>+4(SB), Y12

next:
	VMOVDQU   1(SI), Y1
	VMOVDQU   2(SI), Y2
	VPCMPEQB  (SI), Y8, Y0
	VPCMPEQB  Y1, Y9, Y3
	VPCMPEQB  Y2, Y10, Y4
	VPCMPEQB  Y1, Y11, Y5
	VPCMPEQB  Y2, Y12, Y6
	VPAND     Y3, Y4, Y3
	VPAND     Y5, Y6, Y5
	VPOR      Y3, Y5, Y3
	VPAND     Y0, Y3, Y0
	VPMOVMSKB Y0, AX
	TESTL     AX, AX
	JNZ       hit
	CMPQ      SI, R8
	JAE       none
	ADDQ      $32, SI
	CMPQ      SI, R8
	JBE       next
	MOVQ      R8, SI     // the rest, and some of it again
	JMP       next

hit:
	BSFL AX, AX
	SUBQ DI, SI
	ADDQ SI, AX
	VZEROUPPER
	MOVQ AX, ret+24(FP)
	RET

none:
	VZEROUPPER
	MOVQ $-1, ret+24(FP)
	RET

// ,09 as what integersAVX2 looks for.
DATA figures<>+0(SB)/8, $",0\x09     "
GLOBL figures<>(SB), RODATA|NOPTR, $8

// func integersAVX2(p []byte) int
// Of each block there are masks of 32 bits: R10 commas, R12 digits, R13 where a number begins, R11 what follows a 0 that
// begins one. The latter two have their carry as bit 32.
TEXT ·integersAVX2(SB), NOSPLIT, $0-32
	MOVQ p_base+0(FP), SI
	MOVQ p_len+8(FP), CX
	XORL DX, DX            // where the block begins
	XORL DI, DI            // behind the last comma
	MOVL $1, R8            // carry of R13: a number begins with the first byte
	XORL R9, R9            // carry of R11

	VPBROADCASTB figures<>+0(SB), Y8
	VPBROADCASTB figures<>+1(SB), Y9
	VPBROADCASTB figures<>+2(SB), Y10

next:
	LEAQ 32(DX), AX
	CMPQ AX, CX
	JA   done
	VMOVDQU   (SI)(DX*1), Y0
	VPCMPEQB  Y0, Y8, Y1
	VPCMPEQB  Y0, Y9, Y2
	VPSUBB    Y9, Y0, Y0
	VPMINUB   Y10, Y0, Y3
	VPCMPEQB  Y0, Y3, Y3
	VPMOVMSKB Y1, R10
	VPMOVMSKB Y2, R11
	VPMOVMSKB Y3, R12
	LEAQ      (R8)(R10*2), R13
	ANDQ      R13, R11
	LEAQ      (R9)(R11*2), R11

	MOVL R12, AX
	ORL  R10, AX
	NOTL AX                // neither digit nor comma
	MOVL R10, BX
	ANDL R13, BX
	ORL  BX, AX            // or a comma without a number
	MOVL R11, BX
	ANDL R12, BX
	ORL  BX, AX            // or a digit behind the 0
	JNZ  stop

	BSRL R10, BX
	JZ   carry
	LEAQ 1(DX)(BX*1), DI

carry:
	MOVQ R13, R8
	SHRQ $32, R8
	MOVQ R11, R9
	SHRQ $32, R9
	ADDQ $32, DX
	JMP  next

stop:
	LEAL -1(AX), BX        // the bits below the lowest
	NOTL AX
	ANDL BX, AX
	ANDL R10, AX
	BSRL AX, BX
	JZ   done
	LEAQ 1(DX)(BX*1), DI

done:
	VZEROUPPER
	MOVQ DI, ret+24(FP)
	RET
