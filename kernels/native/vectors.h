// What the native operators share: number formats and short vectors, as wide as the instruction set has them.
//
// Everything is `static` on purpose. isa.cpp is compiled once for every instruction set; a shared inline function would
// be kept once by the linker, perhaps the copy that the running processor cannot execute.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define MNEME_LANES 16
#elif defined(__AVX2__)
#define MNEME_LANES 8
#else
#define MNEME_LANES 4  // SSE2, NEON
#endif

static const int LANES = MNEME_LANES;
typedef float floats __attribute__((vector_size(4 * MNEME_LANES)));
typedef int32_t ints __attribute__((vector_size(4 * MNEME_LANES)));
typedef uint32_t words __attribute__((vector_size(4 * MNEME_LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * MNEME_LANES)));

// The upper half of a float32.
struct bfloat16 {
    uint16_t bits;
};

static inline float widen(float x) { return x; }

static inline float widen(bfloat16 x) {
    uint32_t bits = (uint32_t)x.bits << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline void narrow(float x, float* out) { *out = x; }

// To nearest, ties to even; NaN stays NaN.
static inline void narrow(float x, bfloat16* out) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    out->bits = (uint16_t)(x != x ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline floats all(float x) { return x - (floats){}; }

static inline floats load(const float* p) {
    floats v;
    memcpy(&v, p, sizeof v);
    return v;
}

// Zero-extended, and back: what compilers make of __builtin_convertvector takes twice the instructions.
static inline words words_at(const bfloat16* p) {
#if defined(__AVX512F__)
    return (words)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p));
#elif defined(__AVX2__)
    return (words)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p));
#else
    halves h;
    memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, words);
#endif
}

static inline void put_halves(words w, bfloat16* p) {
#if defined(__AVX512F__)
    _mm256_storeu_si256((__m256i*)p, _mm512_cvtepi32_epi16((__m512i)w));
#elif defined(__AVX2__)
    __m256i packed = _mm256_packus_epi32((__m256i)w, (__m256i)w);
    _mm_storeu_si128((__m128i*)p, _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
#else
    halves h = __builtin_convertvector(w, halves);
    memcpy(p, &h, sizeof h);
#endif
}

static inline floats load(const bfloat16* p) { return (floats)(words_at(p) << 16); }

static inline void store(floats v, float* p) { memcpy(p, &v, sizeof v); }

static inline void store(floats v, bfloat16* p) {
#if defined(__AVX512BF16__)
    __m256bh b = _mm512_cvtneps_pbh((__m512)v);
    memcpy(p, &b, sizeof b);
    return;
#endif
    words bits = (words)v;
    words nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    words nan = (words)(v != v);
    put_halves((nearest & ~nan) | (0x7fc0u & nan), p);
}

static inline floats larger(floats a, floats b) { return a > b ? a : b; }

// Sum of the lanes, in a fixed order.
static inline float sum(floats v) {
    float part[LANES];
    memcpy(part, &v, sizeof part);
    for (int n = LANES / 2; n; n /= 2)
        for (int i = 0; i < n; i++) part[i] += part[i + n];
    return part[0];
}

static inline float largest(floats v) {
    float top = v[0];
    for (int l = 1; l < LANES; l++) top = v[l] > top ? v[l] : top;
    return top;
}

// 2^f for |f| <= 1/2, within 2^-25: the polynomial of degree 6 of Cephes' exp2f.
static inline floats exp2_small(floats f) {
    floats p = all(1.535336188e-4f);
    p = p * f + 1.339887440e-3f;
    p = p * f + 9.618437357e-3f;
    p = p * f + 5.550332471e-2f;
    p = p * f + 2.402264791e-1f;
    p = p * f + 6.931472029e-1f;
    return p * f + 1.0f;
}

// 2^x within a few units of the last place. Below -126 the result is 0 or denormal; above 127 it is at least 2^127.
static inline floats exp2_of(floats x) {
#if defined(__AVX512DQ__)
    // reduce: x less the nearest integer, 0 for an infinity; scalef: times 2^n, 0 for n = -infinity.
    __m512 f = _mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT);
    __m512 n = _mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT);
    return (floats)_mm512_scalef_ps((__m512)exp2_small((floats)f), n);
#else
    floats c = larger(-larger(-x, all(-127.0f)), all(-126.0f));
    floats shifted = c + 12582912.0f;  // 1.5 * 2^23: its last bits now hold round(c)
    floats scale = (floats)(((words)shifted + 127u) << 23);  // the constant's own bits leave by the shift
    floats power = exp2_small(c - (shifted - 12582912.0f)) * scale;
    return x < -126.0f ? all(0.0f) : power;
#endif
}

// a / b for b >= 1, as exact as numbers of the third argument's type are kept.
static inline floats quotient(floats a, floats b, const float*) { return a / b; }

static inline floats quotient(floats a, floats b, const bfloat16*) {
#if defined(__AVX512F__)
    return a * (floats)_mm512_rcp14_ps((__m512)b);  // within 2^-14; a division takes as long as all the rest
#else
    return a / b;
#endif
}
