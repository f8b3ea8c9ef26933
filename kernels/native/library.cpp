// The C ABI: which instruction sets there are, and every operator as a parallel loop over its tasks.
#include <stdint.h>

#include "operators.h"

// build.py defines MNEME_HAS_<name> for each instruction set that isa.cpp was compiled for.
extern const Operators mneme_operators_portable, mneme_operators_avx2, mneme_operators_avx512,
    mneme_operators_avx512bf16;

namespace {

struct Isa {
    const char* name;
    const Operators* operators;
    bool runs;
};

// In rising order: the last that runs is the best.
const Isa* isas(int* count) {
#if defined(__x86_64__)
    static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    static const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#endif
    static const Isa all[] = {
#if defined(MNEME_HAS_portable)
        {"portable", &mneme_operators_portable, true},
#endif
#if defined(MNEME_HAS_avx2)
        {"avx2", &mneme_operators_avx2, avx2},
#endif
#if defined(MNEME_HAS_avx512)
        {"avx512", &mneme_operators_avx512, avx512},
#endif
#if defined(MNEME_HAS_avx512bf16)
        {"avx512bf16", &mneme_operators_avx512bf16, avx512 && __builtin_cpu_supports("avx512bf16")},
#endif
    };
    *count = sizeof all / sizeof all[0];
    return all;
}

// GOMP_parallel of the OpenMP runtime that torch runs on: its threads, its count, its way of waiting.
using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
Parallel parallel = nullptr;

template <class Arguments>
struct Loop {
    void (*task)(const Arguments*, int64_t);
    const Arguments* arguments;
    int64_t tasks, stretch;
    int64_t next;
};

// Whoever is free takes the next stretch of tasks; so it does not matter how many threads came.
template <class Arguments>
void work(void* data) {
    auto* loop = static_cast<Loop<Arguments>*>(data);
    for (;;) {
        const int64_t begin = __atomic_fetch_add(&loop->next, loop->stretch, __ATOMIC_RELAXED);
        if (begin >= loop->tasks) return;
        const int64_t end = begin + loop->stretch < loop->tasks ? begin + loop->stretch : loop->tasks;
        for (int64_t task = begin; task < end; task++) loop->task(loop->arguments, task);
    }
}

template <class Arguments>
void run(void (*task)(const Arguments*, int64_t), const Arguments& arguments, int64_t tasks, int64_t stretch,
         int threads) {
    Loop<Arguments> loop = {task, &arguments, tasks, stretch, 0};
    if (threads > 1 && tasks > stretch && parallel != nullptr)
        parallel(work<Arguments>, &loop, static_cast<unsigned>(threads), 0);
    else
        work<Arguments>(&loop);
}

// Rows taken at a time: all of them where waking a thread costs more than it gains, which is torch's measure too.
int64_t stretch_of(int64_t rows, int64_t width) {
    if (rows * width <= 32768) return rows > 0 ? rows : 1;
    return width < 2048 ? 2048 / width : 1;
}

// Do a row's tokens lie in the table, and its pages in the pool? A kernel that reads elsewhere shows nothing.
bool inside(const PagedDecode& a, int64_t row, int64_t columns, int64_t pages) {
    const int64_t length = a.lens[row], last = (length + PAGE_TOKENS - 1) / PAGE_TOKENS;
    if (length < 0 || last > columns) return false;
    const int64_t first = a.window > 0 && length > a.window ? (length - a.window) / PAGE_TOKENS : 0;
    for (int64_t j = first; j < last; j++) {
        const int32_t page = a.table[row * a.table_stride + j];
        if (page < 0 || page >= pages) return false;
    }
    return true;
}

// `how` is 2 isa + number format: one argument less to convert in each call.
const Operators& of(int how) {
    int count;
    return *isas(&count)[how / 2].operators;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

// Digest of the sources this was built from; the loader looks for it in the file.
const char* mneme_sources() { return MNEME_SOURCES; }

int mneme_isa_count() {
    int count;
    isas(&count);
    return count;
}

const char* mneme_isa_name(int isa) {
    int count;
    return isas(&count)[isa].name;
}

int mneme_isa_runs(int isa) {
    int count;
    return isas(&count)[isa].runs;
}

void mneme_use_openmp(void* gomp_parallel) { parallel = reinterpret_cast<Parallel>(gomp_parallel); }

// -1, or the first row whose length or pages lie outside the table or the pool; then nothing was computed.
int64_t mneme_paged_decode(int how, int threads, const void* q, const void* pool, const int32_t* table,
                           const int32_t* lens, void* out, float* lse, int64_t rows, int64_t heads, int64_t kv_heads,
                           int64_t width, int64_t q_stride, int64_t table_stride, int64_t columns, int64_t pages,
                           int64_t window, float scale) {
    PagedDecode a = {q,     pool,     table,    lens,         out,    lse,  rows,
                     heads, kv_heads, width,    q_stride, table_stride, window, scale};
    for (int64_t row = 0; row < rows; row++)
        if (!inside(a, row, columns, pages)) return row;
    run(of(how).paged_decode[how % 2], a, rows * kv_heads, 1, threads);
    return -1;
}

void mneme_add_rms_norm(int how, int threads, const void* x, const void* added, const void* weight, void* sum,
                        void* out, int64_t rows, int64_t width, float eps) {
    AddRmsNorm a = {x, added, weight, sum, out, rows, width, eps};
    run(of(how).add_rms_norm[how % 2], a, rows, stretch_of(rows, width), threads);
}

// -1, or the first row whose page or place lies outside the pool; then nothing was written.
int64_t mneme_rope_kv_write(int how, int threads, const void* qkv, const float* cos, const float* sin,
                            const int64_t* pages, const int64_t* places, void* pool, void* q, int64_t rows,
                            int64_t heads, int64_t kv_heads, int64_t width, int64_t pool_pages) {
    for (int64_t row = 0; row < rows; row++)
        if (pages[row] < 0 || pages[row] >= pool_pages || places[row] < 0 || places[row] >= PAGE_TOKENS) return row;
    RopeKvWrite a = {qkv, cos, sin, pages, places, pool, q, rows, heads, kv_heads, width};
    run(of(how).rope_kv_write[how % 2], a, rows, stretch_of(rows, (heads + 2 * kv_heads) * width), threads);
    return -1;
}

void mneme_silu_mul(int how, int threads, const void* gate_up, void* out, int64_t rows, int64_t width) {
    SiluMul a = {gate_up, out, rows, width};
    run(of(how).silu_mul[how % 2], a, rows, stretch_of(rows, width), threads);
}

// 8 x how many leading blocks arrived + why no more did (keyed_copy/native.h).
int64_t mneme_keyed_copy(int how, const BlockTable* table, const uint8_t* keys, const uint64_t* targets,
                         const int64_t* lengths, int64_t blocks) {
    int64_t bytes = 0;
    for (int64_t block = 0; block < blocks; block++) bytes += lengths[block];
    // From a megabyte on, most of it would not stay in a core's own cache anyway.
    const KeyedCopy a = {table, keys, targets, lengths, blocks, bytes >= 1 << 20};
    return of(how).keyed_copy(&a);
}

}  // extern "C"
#pragma GCC visibility pop
