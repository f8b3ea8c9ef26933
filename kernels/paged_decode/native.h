// paged_decode on a CPU: one task reads the pages of one row for one kv head, for all query heads of its group.
//
// Online softmax in base 2 over blocks of BLOCK tokens, sums in fp32. The order of a row's sums depends on nothing but
// its own length and window.
#pragma once

#include "native_tiles.h"

// Query heads that are computed together; a larger group takes several passes.
static const int64_t HEADS_AT_ONCE = 4;
static const int64_t MAX_WIDTH = 512;
static const float LOG2E = 1.44269504f, LN2 = 0.69314718f;

// A page of which only some tokens count is copied, the others zero: what lies there may be anything, NaN too.
template <class T>
static const T* only_valid(const T* page, int64_t first, int64_t last, int64_t width, T* copy) {
    if (first <= 0 && last >= PAGE_TOKENS) return page;
    for (int64_t t = 0; t < PAGE_TOKENS; t++)
        if (t >= first && t < last)
            memcpy(copy + t * width, page + t * width, sizeof(T) * (size_t)width);
        else
            memset(copy + t * width, 0, sizeof(T) * (size_t)width);
    return copy;
}

// One head's scores of a block become 2^(score - top). Returns the factor for what was summed before.
static inline float soften(float* scores, int64_t tokens, int64_t first, int64_t last, float* top, float* total) {
    for (int64_t t = 0; t < first; t++) scores[t] = -INFINITY;
    for (int64_t t = last; t < tokens; t++) scores[t] = -INFINITY;
    floats tops = all(*top);
    for (int64_t t = 0; t < tokens; t += LANES) tops = larger(tops, load(scores + t));
    const float new_top = largest(tops);
    floats sums = {};
    for (int64_t t = 0; t < tokens; t += LANES) {
        floats weights = exp2_of(load(scores + t) - new_top);
        store(weights, scores + t);
        sums += weights;
    }
    const float kept = exp2_of(all(*top - new_top))[0];
    *total = *total * kept + sum(sums);
    *top = new_top;
    return kept;
}

template <class T>
static void paged_decode(const PagedDecode* a, int64_t task) {
    const int64_t row = task / a->kv_heads, kv_head = task % a->kv_heads;
    const int64_t width = a->width, group = a->heads / a->kv_heads, length = a->lens[row];
    const int64_t first = a->window > 0 && length > a->window ? length - a->window : 0;
    const int64_t to_values = a->kv_heads * PAGE_TOKENS * width;
    const int32_t* table = a->table + row * a->table_stride;
    const T* pool = (const T*)a->pool + kv_head * PAGE_TOKENS * width;

    alignas(64) T copies[4][PAGE_TOKENS * MAX_WIDTH];
    alignas(64) float acc[HEADS_AT_ONCE * MAX_WIDTH];
    alignas(64) float scores[HEADS_AT_ONCE * BLOCK];
    for (int64_t h0 = 0; h0 < group; h0 += HEADS_AT_ONCE) {
        const int heads = (int)(group - h0 < HEADS_AT_ONCE ? group - h0 : HEADS_AT_ONCE);
        const int64_t head = row * a->heads + kv_head * group + h0;
        const T* q = (const T*)a->q + row * a->q_stride + (kv_head * group + h0) * width;
        float top[HEADS_AT_ONCE], total[HEADS_AT_ONCE], kept[HEADS_AT_ONCE];
        for (int h = 0; h < heads; h++) top[h] = -INFINITY, total[h] = 0;
        memset(acc, 0, sizeof(float) * (size_t)(heads * width));
        for (int64_t page = first / PAGE_TOKENS; page * PAGE_TOKENS < length; page += BLOCK_PAGES) {
            const int64_t start = page * PAGE_TOKENS;
            const int64_t lo = first > start ? first - start : 0;
            const int64_t hi = length - start < BLOCK ? length - start : BLOCK;
            const int64_t pages = (hi + PAGE_TOKENS - 1) / PAGE_TOKENS;
            const T *keys[BLOCK_PAGES], *values[BLOCK_PAGES], *next[BLOCK_PAGES];
            for (int64_t p = 0; p < pages; p++) {
                const T* k = pool + (int64_t)table[page + p] * 2 * to_values;
                // Only a block's first page and its last can be partial: each has copies of its own.
                const int spare = p == 0 ? 0 : 2;
                keys[p] = only_valid(k, lo - p * PAGE_TOKENS, hi - p * PAGE_TOKENS, width, copies[spare]);
                values[p] =
                    only_valid(k + to_values, lo - p * PAGE_TOKENS, hi - p * PAGE_TOKENS, width, copies[spare + 1]);
            }
            for (int64_t p = 0; p < pages; p++) {
                const int64_t ahead = page + BLOCK_PAGES + p;
                next[p] = ahead * PAGE_TOKENS < length ? pool + (int64_t)table[ahead] * 2 * to_values : nullptr;
            }
            score_block(q, keys, values, next, pages, heads, width, a->scale * LOG2E, scores);
            for (int h = 0; h < heads; h++)
                kept[h] = soften(scores + h * BLOCK, pages * PAGE_TOKENS, lo, hi, &top[h], &total[h]);
            weigh_block(scores, values, pages, heads, width, kept, acc);
        }
        for (int h = 0; h < heads; h++) {
            a->lse[head + h] = length > 0 ? (top[h] + log2f(total[h])) * LN2 : -INFINITY;
            finish(acc + h * width, width, length > 0 ? 1.0f / total[h] : 0.0f, (T*)a->out + (head + h) * width);
        }
    }
}
