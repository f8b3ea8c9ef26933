// add_rms_norm on a CPU: one row is read once, summed, and normed out of the cache.
#pragma once

#include "../native/operators.h"
#include "../native/vectors.h"

template <class T>
static void add_rms_norm(const AddRmsNorm* a, int64_t row) {
    const int64_t width = a->width;
    const T* x = (const T*)a->x + row * width;
    const T* added = (const T*)a->added + row * width;
    const T* weight = (const T*)a->weight;
    T* sums = (T*)a->sum + row * width;
    T* out = (T*)a->out + row * width;
    floats squares = {};
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        store(load(x + i) + load(added + i), sums + i);
        floats s = load(sums + i);  // as rounded
        squares += s * s;
    }
    float square = sum(squares);
    for (; i < width; i++) {
        narrow(widen(x[i]) + widen(added[i]), &sums[i]);
        square += widen(sums[i]) * widen(sums[i]);
    }
    const float scale = 1.0f / sqrtf(square / (float)width + a->eps);
    for (i = 0; i + LANES <= width; i += LANES) store(load(sums + i) * scale * load(weight + i), out + i);
    for (; i < width; i++) narrow(widen(sums[i]) * scale * widen(weight[i]), &out[i]);
}
