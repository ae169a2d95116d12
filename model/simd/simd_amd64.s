#include "textflag.h"

// Go's assembler has the operands of Intel's manual in reverse: the target is
// the last, and VSUBPD b, a, t is t = a - b.

// Whole numbers become floats as halves: the upper 16 bits times 2^48 and the
// lower 48 are each exact in the mantissa of a float of fixed exponent, and their
// sum is rounded once. See "How to efficiently perform double/int64 conversions
// with SSE/AVX", stackoverflow.com/questions/41144668.
DATA ·high<>+0(SB)/8, $0x4438000000000000 // 3·2^67
GLOBL ·high<>(SB), RODATA|NOPTR, $8
DATA ·low<>+0(SB)/8, $0x4330000000000000 // 2^52
GLOBL ·low<>(SB), RODATA|NOPTR, $8
DATA ·both<>+0(SB)/8, $0x4438001000000000 // 3·2^67 + 2^52
GLOBL ·both<>(SB), RODATA|NOPTR, $8

DATA ·steps<>+0(SB)/4, $0
DATA ·steps<>+4(SB)/4, $1
DATA ·steps<>+8(SB)/4, $2
DATA ·steps<>+12(SB)/4, $3
GLOBL ·steps<>(SB), RODATA|NOPTR, $16
DATA ·one<>+0(SB)/4, $1
GLOBL ·one<>(SB), RODATA|NOPTR, $4

// FLOATS turns the int64s of Y0 into floats, with Y8 zero and Y10 to Y12 both, low
// and high. It spends Y1 and Y2.
#define FLOATS \
	VPSRAD   $16, Y0, Y1;         \
	VPBLENDW $0x33, Y8, Y1, Y1;   \
	VPADDQ   Y12, Y1, Y1;         \
	VPBLENDW $0x88, Y11, Y0, Y2;  \
	VSUBPD   Y10, Y1, Y1;         \
	VADDPD   Y2, Y1, Y0

#define FLOATCONSTANTS \
	VPXOR        Y8, Y8, Y8;           \
	VPBROADCASTQ ·both<>(SB), Y10;     \
	VPBROADCASTQ ·low<>(SB), Y11;      \
	VPBROADCASTQ ·high<>(SB), Y12

// TIMES multiplies Y0 with Y14, numbers below 2^32, modulo 2^64. It spends Y1.
#define TIMES \
	VPSRLQ   $32, Y0, Y1;  \
	VPMULUDQ Y14, Y0, Y0;  \
	VPMULUDQ Y14, Y1, Y1;  \
	VPSLLQ   $32, Y1, Y1;  \
	VPADDQ   Y1, Y0, Y0

// func addEachAVX2(sum, c, x *float64, n int)
TEXT ·addEachAVX2(SB), NOSPLIT, $0-32
	MOVQ sum+0(FP), DI
	MOVQ c+8(FP), SI
	MOVQ x+16(FP), DX
	MOVQ n+24(FP), CX
	XORQ AX, AX

loop:
	VMOVUPD (DI)(AX*8), Y0
	VMOVUPD (DX)(AX*8), Y1
	VADDPD  Y1, Y0, Y2         // t = s + v
	VSUBPD  Y0, Y2, Y3         // b = t - s
	VSUBPD  Y3, Y2, Y4
	VSUBPD  Y4, Y0, Y4         // s - (t - b)
	VSUBPD  Y3, Y1, Y3         // v - b
	VADDPD  Y3, Y4, Y4
	VADDPD  (SI)(AX*8), Y4, Y4
	VMOVUPD Y4, (SI)(AX*8)
	VMOVUPD Y2, (DI)(AX*8)
	ADDQ    $4, AX
	CMPQ    AX, CX
	JLT     loop
	VZEROUPPER
	RET

// func deltasAVX2(v *float64, n int, acc, base, scale uint64, divisor float64) uint64
TEXT ·deltasAVX2(SB), NOSPLIT, $0-56
	MOVQ         v+0(FP), DI
	MOVQ         n+8(FP), CX
	MOVQ         scale+32(FP), DX
	MOVQ         divisor+40(FP), BX
	FLOATCONSTANTS
	VPBROADCASTQ acc+16(FP), Y9
	VPBROADCASTQ base+24(FP), Y15
	VPBROADCASTQ scale+32(FP), Y14
	VPBROADCASTQ divisor+40(FP), Y13
	MOVQ         $0x3ff0000000000000, R8 // 1
	XORQ         AX, AX

loop:
	VMOVDQU (DI)(AX*8), Y0
	CMPQ    DX, $1
	JEQ     single
	TIMES

single:
	VPADDQ   Y15, Y0, Y0
	VPSLLDQ  $8, Y0, Y1           // add up within the halves,
	VPADDQ   Y1, Y0, Y0
	VPERMQ   $0x50, Y0, Y1        // the lower one to the upper,
	VPBLENDD $0x0f, Y8, Y1, Y1
	VPADDQ   Y1, Y0, Y0
	VPERMQ   $0xff, Y0, Y3
	VPADDQ   Y9, Y0, Y0           // and what came before to all
	VPADDQ   Y3, Y9, Y9
	FLOATS
	CMPQ     BX, R8
	JEQ      whole
	VDIVPD   Y13, Y0, Y0

whole:
	VMOVUPD Y0, (DI)(AX*8)
	ADDQ    $4, AX
	CMPQ    AX, CX
	JLT     loop
	VMOVQ   X9, AX
	MOVQ    AX, ret+48(FP)
	VZEROUPPER
	RET

// func offsetsAVX2(v *float64, n int, from, scale uint64, divisor float64)
TEXT ·offsetsAVX2(SB), NOSPLIT, $0-40
	MOVQ         v+0(FP), DI
	MOVQ         n+8(FP), CX
	MOVQ         scale+24(FP), DX
	MOVQ         divisor+32(FP), BX
	FLOATCONSTANTS
	VPBROADCASTQ from+16(FP), Y15
	VPBROADCASTQ scale+24(FP), Y14
	VPBROADCASTQ divisor+32(FP), Y13
	MOVQ         $0x3ff0000000000000, R8 // 1
	XORQ         AX, AX

loop:
	VMOVDQU (DI)(AX*8), Y0
	CMPQ    DX, $1
	JEQ     single
	TIMES

single:
	VPADDQ Y15, Y0, Y0
	FLOATS
	CMPQ   BX, R8
	JEQ    whole
	VDIVPD Y13, Y0, Y0

whole:
	VMOVUPD Y0, (DI)(AX*8)
	ADDQ    $4, AX
	CMPQ    AX, CX
	JLT     loop
	VZEROUPPER
	RET

// func addBitsAVX2(v, x *float64, n int, base, scale uint64)
TEXT ·addBitsAVX2(SB), NOSPLIT, $0-40
	MOVQ         v+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         n+16(FP), CX
	MOVQ         scale+32(FP), DX
	VPBROADCASTQ base+24(FP), Y15
	VPBROADCASTQ scale+32(FP), Y14
	XORQ         AX, AX

loop:
	VMOVDQU (SI)(AX*8), Y0
	CMPQ    DX, $1
	JEQ     single
	TIMES

single:
	VPADDQ  Y15, Y0, Y0
	VPADDQ  (DI)(AX*8), Y0, Y0
	VMOVDQU Y0, (DI)(AX*8)
	ADDQ    $4, AX
	CMPQ    AX, CX
	JLT     loop
	VZEROUPPER
	RET

// func spreadAVX2(out *float64, bitmap *byte, i, j int, table *[16][8]uint32) (iLeft, jLeft int)
TEXT ·spreadAVX2(SB), NOSPLIT, $0-56
	MOVQ out+0(FP), DI
	MOVQ bitmap+8(FP), SI
	MOVQ i+16(FP), CX
	MOVQ j+24(FP), DX
	MOVQ table+32(FP), R8
	MOVQ CX, AX
	SHRQ $3, AX
	ADDQ AX, SI

loop:
	CMPQ    DX, $7
	JLT     done
	MOVBLZX -1(SI), AX
	MOVL    AX, BX
	SHRL    $4, BX
	ANDL    $15, AX
	POPCNTL BX, R9
	POPCNTL AX, R10
	SHLL    $5, BX
	SHLL    $5, AX
	VMOVDQU (R8)(BX*1), Y0
	VPERMD  -24(DI)(DX*8), Y0, Y1   // positions i-3 to i
	SUBQ    R9, DX
	VMOVDQU (R8)(AX*1), Y0
	VPERMD  -24(DI)(DX*8), Y0, Y2   // positions i-7 to i-4
	SUBQ    R10, DX
	VMOVDQU Y1, -24(DI)(CX*8)
	VMOVDQU Y2, -56(DI)(CX*8)
	DECQ    SI
	SUBQ    $8, CX
	JG      loop

done:
	MOVQ CX, iLeft+40(FP)
	MOVQ DX, jLeft+48(FP)
	VZEROUPPER
	RET

// func nextFallAVX2(v *float64, from, to int) int
TEXT ·nextFallAVX2(SB), NOSPLIT, $0-32
	MOVQ v+0(FP), DI
	MOVQ from+8(FP), AX
	MOVQ to+16(FP), CX

loop:
	VMOVUPD   (DI)(AX*8), Y0
	VCMPPD    $0x11, -8(DI)(AX*8), Y0, Y1 // v[i] < v[i-1], false with NaN
	VMOVMSKPD Y1, BX
	TESTL     BX, BX
	JNZ       found
	ADDQ      $4, AX
	CMPQ      AX, CX
	JLT       loop
	MOVQ      CX, ret+24(FP)
	VZEROUPPER
	RET

found:
	BSFL BX, BX
	ADDQ BX, AX
	MOVQ AX, ret+24(FP)
	VZEROUPPER
	RET

// func risesAVX2(dst, v *float64, lo, hi *int32, factor, clamp *float64, n int) int
TEXT ·risesAVX2(SB), NOSPLIT, $0-64
	MOVQ         dst+0(FP), DI
	MOVQ         v+8(FP), SI
	MOVQ         lo+16(FP), R8
	MOVQ         hi+24(FP), R9
	MOVQ         factor+32(FP), R10
	MOVQ         clamp+40(FP), R11
	MOVQ         n+48(FP), CX
	VMOVDQU      ·steps<>(SB), X11
	VPBROADCASTD ·one<>(SB), X10
	XORQ         AX, AX

loop:
	VMOVDQU   (R8)(AX*4), X0
	VMOVDQU   (R9)(AX*4), X1
	VPSUBD    X0, X1, X2
	VPCMPGTD  X10, X2, X2       // two values at least
	VMOVMSKPS X2, BX
	CMPL      BX, $15
	JNE       done

	// Windows that move by one value at a time are the commonest.
	VPBROADCASTD X0, X3
	VPADDD       X11, X3, X3
	VPCMPEQD     X0, X3, X3
	VPBROADCASTD X1, X4
	VPADDD       X11, X4, X4
	VPCMPEQD     X1, X4, X4
	VPAND        X3, X4, X3
	VMOVMSKPS    X3, BX
	MOVLQSX      (R8)(AX*4), R12
	MOVLQSX      (R9)(AX*4), R13
	CMPL         BX, $15
	JNE          apart
	VMOVUPD      (SI)(R12*8), Y5
	VMOVUPD      -8(SI)(R13*8), Y6

rise:
	VSUBPD    Y5, Y6, Y6
	VMULPD    (R11)(AX*8), Y6, Y7
	VCMPPD    $0x11, Y7, Y5, Y7  // first < clamp · rise
	VMOVMSKPD Y7, BX
	TESTL     BX, BX
	JNZ       done
	VMULPD    (R10)(AX*8), Y6, Y6
	VMOVUPD   Y6, (DI)(AX*8)
	ADDQ      $4, AX
	CMPQ      AX, CX
	JLT       loop

done:
	MOVQ AX, ret+56(FP)
	VZEROUPPER
	RET

apart:
	MOVLQSX     4(R8)(AX*4), BX
	VMOVSD      (SI)(R12*8), X5
	VMOVHPD     (SI)(BX*8), X5, X5
	MOVLQSX     8(R8)(AX*4), R12
	MOVLQSX     12(R8)(AX*4), BX
	VMOVSD      (SI)(R12*8), X8
	VMOVHPD     (SI)(BX*8), X8, X8
	VINSERTF128 $1, X8, Y5, Y5
	MOVLQSX     4(R9)(AX*4), BX
	VMOVSD      -8(SI)(R13*8), X6
	VMOVHPD     -8(SI)(BX*8), X6, X6
	MOVLQSX     8(R9)(AX*4), R13
	MOVLQSX     12(R9)(AX*4), BX
	VMOVSD      -8(SI)(R13*8), X8
	VMOVHPD     -8(SI)(BX*8), X8, X8
	VINSERTF128 $1, X8, Y6, Y6
	JMP         rise

// func lastsAVX2(dst, v *float64, lo, hi *int32, n int) int
TEXT ·lastsAVX2(SB), NOSPLIT, $0-48
	MOVQ    dst+0(FP), DI
	MOVQ    v+8(FP), SI
	MOVQ    lo+16(FP), R8
	MOVQ    hi+24(FP), R9
	MOVQ    n+32(FP), CX
	VMOVDQU ·steps<>(SB), X11
	XORQ    AX, AX

loop:
	VMOVDQU   (R9)(AX*4), X1
	VPCMPGTD  (R8)(AX*4), X1, X2
	VMOVMSKPS X2, BX
	CMPL      BX, $15
	JNE       done
	VPBROADCASTD X1, X4
	VPADDD       X11, X4, X4
	VPCMPEQD     X1, X4, X4
	VMOVMSKPS    X4, BX
	MOVLQSX      (R9)(AX*4), R13
	CMPL         BX, $15
	JNE          apart
	VMOVUPD      -8(SI)(R13*8), Y6

last:
	VMOVUPD Y6, (DI)(AX*8)
	ADDQ    $4, AX
	CMPQ    AX, CX
	JLT     loop

done:
	MOVQ AX, ret+40(FP)
	VZEROUPPER
	RET

apart:
	MOVLQSX     4(R9)(AX*4), BX
	VMOVSD      -8(SI)(R13*8), X6
	VMOVHPD     -8(SI)(BX*8), X6, X6
	MOVLQSX     8(R9)(AX*4), R13
	MOVLQSX     12(R9)(AX*4), BX
	VMOVSD      -8(SI)(R13*8), X7
	VMOVHPD     -8(SI)(BX*8), X7, X7
	VINSERTF128 $1, X7, Y6, Y6
	JMP         last

// func fillAVX2(dst *float64, n int, x float64)
TEXT ·fillAVX2(SB), NOSPLIT, $0-24
	MOVQ         dst+0(FP), DI
	MOVQ         n+8(FP), CX
	VBROADCASTSD x+16(FP), Y0
	XORQ         AX, AX

loop:
	VMOVUPD Y0, (DI)(AX*8)
	ADDQ    $4, AX
	CMPQ    AX, CX
	JLT     loop
	VZEROUPPER
	RET

// func addToAVX2(dst *float64, n int, x float64)
TEXT ·addToAVX2(SB), NOSPLIT, $0-24
	MOVQ         dst+0(FP), DI
	MOVQ         n+8(FP), CX
	VBROADCASTSD x+16(FP), Y0
	XORQ         AX, AX

loop:
	VADDPD  (DI)(AX*8), Y0, Y1
	VMOVUPD Y1, (DI)(AX*8)
	ADDQ    $4, AX
	CMPQ    AX, CX
	JLT     loop
	VZEROUPPER
	RET

// func maxAVX2(v *float64, n int) float64
TEXT ·maxAVX2(SB), NOSPLIT, $0-24
	MOVQ    v+0(FP), DI
	MOVQ    n+8(FP), CX
	VMOVUPD (DI), Y0
	MOVQ    $4, AX

loop:
	VMAXPD       (DI)(AX*8), Y0, Y0
	ADDQ         $4, AX
	CMPQ         AX, CX
	JLT          loop
	VEXTRACTF128 $1, Y0, X1
	VMAXPD       X1, X0, X0
	VPERMILPD    $1, X0, X1
	VMAXSD       X1, X0, X0
	VMOVSD       X0, ret+16(FP)
	VZEROUPPER
	RET

// func minAVX2(v *float64, n int) float64
TEXT ·minAVX2(SB), NOSPLIT, $0-24
	MOVQ    v+0(FP), DI
	MOVQ    n+8(FP), CX
	VMOVUPD (DI), Y0
	MOVQ    $4, AX

loop:
	VMINPD       (DI)(AX*8), Y0, Y0
	ADDQ         $4, AX
	CMPQ         AX, CX
	JLT          loop
	VEXTRACTF128 $1, Y0, X1
	VMINPD       X1, X0, X0
	VPERMILPD    $1, X0, X1
	VMINSD       X1, X0, X0
	VMOVSD       X0, ret+16(FP)
	VZEROUPPER
	RET

DATA ·fields<>+0(SB)/8, $0
DATA ·fields<>+8(SB)/8, $1
DATA ·fields<>+16(SB)/8, $2
DATA ·fields<>+24(SB)/8, $3
GLOBL ·fields<>(SB), RODATA|NOPTR, $32

// func fieldsAVX2(dst *float64, src *byte, octets, w int)
TEXT ·fieldsAVX2(SB), NOSPLIT, $0-32
	MOVQ         dst+0(FP), DI
	MOVQ         src+8(FP), SI
	MOVQ         octets+16(FP), DX
	MOVQ         w+24(FP), CX
	VPBROADCASTQ w+24(FP), Y0
	VPMULUDQ     ·fields<>(SB), Y0, Y0 // where fields one to four begin
	MOVQ         CX, R8
	SHLQ         $2, R8
	MOVQ         R8, R9
	SHRQ         $3, R8                // and five to eight: a byte,
	ANDQ         $7, R9
	VMOVQ        R9, X1
	VPBROADCASTQ X1, Y1
	VPADDQ       Y0, Y1, Y1            // and the bits from it on
	MOVQ         $1, AX
	SHLQ         CX, AX
	DECQ         AX
	VMOVQ        AX, X2
	VPBROADCASTQ X2, Y2

loop:
	VPBROADCASTQ (SI), Y3
	VPBROADCASTQ (SI)(R8*1), Y4
	VPSRLVQ      Y0, Y3, Y3
	VPSRLVQ      Y1, Y4, Y4
	VPAND        Y2, Y3, Y3
	VPAND        Y2, Y4, Y4
	VMOVDQU      Y3, (DI)
	VMOVDQU      Y4, 32(DI)
	ADDQ         CX, SI
	ADDQ         $64, DI
	DECQ         DX
	JNZ          loop
	VZEROUPPER
	RET
