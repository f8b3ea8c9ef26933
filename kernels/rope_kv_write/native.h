// rope_kv_write on a CPU: a token's query is rotated into its own tensor, its key and value into their page.
#pragma once

#include "../native/operators.h"
#include "../native/vectors.h"

template <class T>
static void rotate_head(const T* x, const float* cos, const float* sin, int64_t half, T* out) {
    int64_t i = 0;
    for (; i + LANES <= half; i += LANES) {
        floats first = load(x + i), second = load(x + half + i), c = load(cos + i), s = load(sin + i);
        store(first * c - second * s, out + i);
        store(second * c + first * s, out + half + i);
    }
    for (; i < half; i++) {
        float first = widen(x[i]), second = widen(x[half + i]);
        narrow(first * cos[i] - second * sin[i], &out[i]);
        narrow(second * cos[i] + first * sin[i], &out[half + i]);
    }
}

template <class T>
static void rope_kv_write(const RopeKvWrite* a, int64_t row) {
    const int64_t width = a->width, half = width / 2, head_numbers = PAGE_TOKENS * width;
    const T* x = (const T*)a->qkv + row * (a->heads + 2 * a->kv_heads) * width;
    const float* cos = a->cos + row * half;
    const float* sin = a->sin + row * half;
    T* q = (T*)a->q + row * a->heads * width;
    T* key = (T*)a->pool + a->pages[row] * 2 * a->kv_heads * head_numbers + a->places[row] * width;
    T* value = key + a->kv_heads * head_numbers;
    for (int64_t h = 0; h < a->heads; h++, x += width) rotate_head(x, cos, sin, half, q + h * width);
    for (int64_t h = 0; h < a->kv_heads; h++, x += width) rotate_head(x, cos, sin, half, key + h * head_numbers);
    for (int64_t h = 0; h < a->kv_heads; h++, x += width)
        memcpy(value + h * head_numbers, x, sizeof(T) * (size_t)width);
}
