// The two products of paged_decode over a block of pages: scores = q K^T, and acc = acc * kept + weights V.
//
// With AVX-512 the sums of 16 tokens are folded together; with its bfloat16 instructions products are taken in pairs,
// and acc then lies interleaved until finish_head. Everything else is one loop over short vectors.
#pragma once

#include "../native/operators.h"
#include "../native/vectors.h"

static const int64_t BLOCK_PAGES = 8;
static const int64_t BLOCK = PAGE_TOKENS * BLOCK_PAGES;

#if defined(__AVX512F__)
// Lane t of the result is the sum of v[t]'s lanes.
static inline floats fold(const floats* v) {
    __m512 pairs[8], fours[4], eights[2];
    for (int i = 0; i < 8; i++) {
        __m512 a = (__m512)v[2 * i], b = (__m512)v[2 * i + 1];
        pairs[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    }
    for (int i = 0; i < 4; i++) {
        __m512d a = _mm512_castps_pd(pairs[2 * i]), b = _mm512_castps_pd(pairs[2 * i + 1]);
        fours[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    for (int i = 0; i < 2; i++) {
        __m512 a = fours[2 * i], b = fours[2 * i + 1];
        eights[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
    return (floats)_mm512_add_ps(_mm512_shuffle_f32x4(eights[0], eights[1], 0x88),
                                 _mm512_shuffle_f32x4(eights[0], eights[1], 0xdd));
}
#endif

// q . key for the 16 keys of a page, times scale.
template <class T>
static inline void score_page(const T* q, const T* keys, int64_t width, float scale, float* scores) {
    const int64_t whole = width / LANES * LANES;
#if defined(__AVX512F__)
    if (whole == width) {
        floats dots[PAGE_TOKENS];
        for (int t = 0; t < PAGE_TOKENS; t++) dots[t] = load(q) * load(keys + t * width);
        for (int64_t i = LANES; i < width; i += LANES)
            for (int t = 0; t < PAGE_TOKENS; t++) dots[t] += load(q + i) * load(keys + t * width + i);
        store(fold(dots) * scale, scores);
        return;
    }
#endif
    for (int t = 0; t < PAGE_TOKENS; t++) {
        const T* key = keys + t * width;
        floats dots = {};
        int64_t i = 0;
        for (; i < whole; i += LANES) dots += load(q + i) * load(key + i);
        float dot = sum(dots);
        for (; i < width; i++) dot += widen(q[i]) * widen(key[i]);
        scores[t] = dot * scale;
    }
}

// One head's page, asked for before it is needed: pages lie anywhere, so no processor guesses the next.
template <class T>
static inline void ask_for(const T* page, int64_t width) {
    for (int64_t i = 0; i < PAGE_TOKENS * width * (int64_t)sizeof(T); i += 64) __builtin_prefetch((const char*)page + i);
}

// Asks meanwhile for the values of this block and the keys of the next.
template <class T>
static void score_block(const T* q, const T* const* keys, const T* const* values, const T* const* next, int64_t pages,
                        int heads, int64_t width, float scale, float* scores) {
    for (int64_t p = 0; p < pages; p++) {
        ask_for(values[p], width);
        if (next[p] != nullptr) ask_for(next[p], width);
        for (int h = 0; h < heads; h++)
            score_page(q + h * width, keys[p], width, scale, scores + h * BLOCK + p * PAGE_TOKENS);
    }
}

// COLUMNS vectors of HEADS heads stay in registers while the block's values pass by.
template <int HEADS, int COLUMNS, class T>
static inline void weigh_columns(const float* weights, const T* const* values, int64_t pages, int64_t width, int64_t i,
                                 const float* kept, float* acc) {
    floats sums[HEADS][COLUMNS];
    for (int h = 0; h < HEADS; h++)
        for (int c = 0; c < COLUMNS; c++) sums[h][c] = load(acc + h * width + i + c * LANES) * kept[h];
    for (int64_t p = 0; p < pages; p++)
        for (int t = 0; t < PAGE_TOKENS; t++) {
            const T* value = values[p] + t * width + i;
            floats v[COLUMNS];
            for (int c = 0; c < COLUMNS; c++) v[c] = load(value + c * LANES);
            for (int h = 0; h < HEADS; h++)
                for (int c = 0; c < COLUMNS; c++) sums[h][c] += v[c] * weights[h * BLOCK + p * PAGE_TOKENS + t];
        }
    for (int h = 0; h < HEADS; h++)
        for (int c = 0; c < COLUMNS; c++) store(sums[h][c], acc + h * width + i + c * LANES);
}

template <int HEADS, class T>
static void weigh_heads(const float* weights, const T* const* values, int64_t pages, int64_t width, const float* kept,
                        float* acc) {
    constexpr int COLUMNS = LANES == 16 ? 4 : 2;  // 4 heads x 4 columns fill half of 32 registers
    int64_t i = 0;
    for (; i + COLUMNS * LANES <= width; i += COLUMNS * LANES)
        weigh_columns<HEADS, COLUMNS>(weights, values, pages, width, i, kept, acc);
    for (; i + LANES <= width; i += LANES) weigh_columns<HEADS, 1>(weights, values, pages, width, i, kept, acc);
    for (; i < width; i++)
        for (int h = 0; h < HEADS; h++) {
            float s = acc[h * width + i] * kept[h];
            for (int64_t p = 0; p < pages; p++)
                for (int t = 0; t < PAGE_TOKENS; t++)
                    s += widen(values[p][t * width + i]) * weights[h * BLOCK + p * PAGE_TOKENS + t];
            acc[h * width + i] = s;
        }
}

template <class T>
static void finish(const float* acc, int64_t width, float factor, T* out) {
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) store(load(acc + i) * factor, out + i);
    for (; i < width; i++) narrow(acc[i] * factor, &out[i]);
}

#if defined(__AVX512BF16__)
static inline __m512i pairs_at(const void* p) { return _mm512_loadu_si512(p); }

// Widths that fill whole registers; others take the loops above.
static inline bool in_pairs(int64_t width) { return width % 32 == 0; }

static inline void score_page(const bfloat16* q, const bfloat16* keys, int64_t width, float scale, float* scores) {
    if (!in_pairs(width)) return score_page<bfloat16>(q, keys, width, scale, scores);
    __m512 dots[PAGE_TOKENS];
    for (int t = 0; t < PAGE_TOKENS; t++) dots[t] = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += 32) {
        __m512bh b = (__m512bh)pairs_at(q + i);
        for (int t = 0; t < PAGE_TOKENS; t++)
            dots[t] = _mm512_dpbf16_ps(dots[t], b, (__m512bh)pairs_at(keys + t * width + i));
    }
    store(fold((const floats*)dots) * scale, scores);
}

// 32 columns of HEADS heads. Weights are rounded to bfloat16, two tokens to a word; sums stay in fp32.
template <int HEADS>
static inline void weigh_pairs(const uint32_t* weights, const bfloat16* const* values, int64_t pages, int64_t width,
                               int64_t i, const float* kept, float* acc) {
    __m512 low[HEADS], high[HEADS];
    for (int h = 0; h < HEADS; h++) {
        low[h] = _mm512_mul_ps(_mm512_loadu_ps(acc + h * width + i), _mm512_set1_ps(kept[h]));
        high[h] = _mm512_mul_ps(_mm512_loadu_ps(acc + h * width + i + 16), _mm512_set1_ps(kept[h]));
    }
    for (int64_t p = 0; p < pages; p++)
        for (int t = 0; t < PAGE_TOKENS; t += 2) {
            const bfloat16* value = values[p] + t * width + i;
            __m512i even = pairs_at(value), odd = pairs_at(value + width);
            __m512bh first = (__m512bh)_mm512_unpacklo_epi16(even, odd);
            __m512bh second = (__m512bh)_mm512_unpackhi_epi16(even, odd);
            for (int h = 0; h < HEADS; h++) {
                const uint32_t pair = weights[(h * BLOCK + p * PAGE_TOKENS + t) / 2];
                __m512bh w = (__m512bh)_mm512_set1_epi32((int)pair);
                low[h] = _mm512_dpbf16_ps(low[h], w, first);
                high[h] = _mm512_dpbf16_ps(high[h], w, second);
            }
        }
    for (int h = 0; h < HEADS; h++) {
        _mm512_storeu_ps(acc + h * width + i, low[h]);
        _mm512_storeu_ps(acc + h * width + i + 16, high[h]);
    }
}

template <int HEADS>
static void weigh_heads(const float* weights, const bfloat16* const* values, int64_t pages, int64_t width,
                        const float* kept, float* acc) {
    if (!in_pairs(width)) return weigh_heads<HEADS, bfloat16>(weights, values, pages, width, kept, acc);
    alignas(64) uint32_t packed[HEADS * BLOCK / 2];
    for (int h = 0; h < HEADS; h++)
        for (int64_t p = 0; p < pages; p++) {
            __m256bh b = _mm512_cvtneps_pbh(_mm512_loadu_ps(weights + h * BLOCK + p * PAGE_TOKENS));
            _mm256_storeu_si256((__m256i*)(packed + (h * BLOCK + p * PAGE_TOKENS) / 2), (__m256i)b);
        }
    for (int64_t i = 0; i < width; i += 32) weigh_pairs<HEADS>(packed, values, pages, width, i, kept, acc);
}

// Undoes the interleaving: unpacklo took columns 0-3, 8-11, 16-19, 24-27 of each 32, unpackhi the others.
static void finish(const float* acc, int64_t width, float factor, bfloat16* out) {
    if (!in_pairs(width)) return finish<bfloat16>(acc, width, factor, out);
    for (int64_t i = 0; i < width; i += 32) {
        __m512 low = _mm512_loadu_ps(acc + i), high = _mm512_loadu_ps(acc + i + 16);
        const __m512i front = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
        const __m512i back = _mm512_add_epi32(front, _mm512_set1_epi32(8));
        store((floats)_mm512_permutex2var_ps(low, front, high) * factor, out + i);
        store((floats)_mm512_permutex2var_ps(low, back, high) * factor, out + i + 16);
    }
}
#endif

template <class T>
static void weigh_block(const float* weights, const T* const* values, int64_t pages, int heads, int64_t width,
                        const float* kept, float* acc) {
    switch (heads) {
        case 1: return weigh_heads<1>(weights, values, pages, width, kept, acc);
        case 2: return weigh_heads<2>(weights, values, pages, width, kept, acc);
        case 3: return weigh_heads<3>(weights, values, pages, width, kept, acc);
        default: return weigh_heads<4>(weights, values, pages, width, kept, acc);
    }
}
