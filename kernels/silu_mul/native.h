// silu_mul on a CPU: gate and up are read once, their product written once.
#pragma once

#include "../native/operators.h"
#include "../native/vectors.h"

// For a very negative gate e^-gate is infinite, or 2^127: the quotient is then nothing beside the result.
template <class T>
static inline floats silu_times(floats gate, floats up) {
    return quotient(gate, exp2_of(gate * -1.44269504f) + 1.0f, (const T*)nullptr) * up;
}

template <class T>
static void silu_mul(const SiluMul* a, int64_t row) {
    const int64_t width = a->width;
    const T* gate = (const T*)a->gate_up + row * 2 * width;
    const T* up = gate + width;
    T* out = (T*)a->out + row * width;
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) store(silu_times<T>(load(gate + i), load(up + i)), out + i);
    for (; i < width; i++) narrow(silu_times<T>(all(widen(gate[i])), all(widen(up[i])))[0], &out[i]);
}
