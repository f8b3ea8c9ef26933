// Arguments of the native operators, and the table of implementations that isa.cpp fills for one instruction set.
// The shapes are those of the host functions; strides count numbers, not bytes.
#pragma once

#include <stdint.h>

static const int64_t PAGE_TOKENS = 16;

enum Number { FLOAT32 = 0, BFLOAT16 = 1 };

struct PagedDecode {
    const void* q;       // [rows, heads, width], rows q_stride apart
    const void* pool;    // [pages, 2, kv_heads, 16, width]
    const int32_t* table;  // [rows, table_stride]
    const int32_t* lens;   // [rows]
    void* out;           // [rows, heads, width]
    float* lse;          // [rows, heads]
    int64_t rows, heads, kv_heads, width, q_stride, table_stride, window;
    float scale;
};

struct AddRmsNorm {
    const void* x;       // [rows, width]
    const void* added;   // [rows, width]
    const void* weight;  // [width]
    void* sum;           // [rows, width]
    void* out;           // [rows, width]
    int64_t rows, width;
    float eps;
};

struct RopeKvWrite {
    const void* qkv;     // [rows, heads + 2 kv_heads, width]
    const float* cos;    // [rows, width / 2]
    const float* sin;    // [rows, width / 2]
    const int64_t* pages;   // [rows]
    const int64_t* places;  // [rows]
    void* pool;          // [pages, 2, kv_heads, 16, width]
    void* q;             // [rows, heads, width]
    int64_t rows, heads, kv_heads, width;
};

struct SiluMul {
    const void* gate_up;  // [rows, 2 width]
    void* out;            // [rows, width]
    int64_t rows, width;
};

// A table of blocks in memory that another process writes. Entries: see keyed_copy/native.h.
struct BlockTable {
    const uint8_t* bytes;     // offsets count from here
    uint64_t size;            // of all that may be read, in bytes
    const uint64_t* keys;     // [buckets, 8, 2]
    const uint64_t* entries;  // [buckets, 8, 10]
    uint64_t mask;            // buckets - 1; their number is a power of two
    const uint64_t* owner;    // the owner epoch of now
    uint64_t epoch;           // the owner epoch whose blocks count
    uint64_t identity[2];     // digests are seeded with it
};

struct KeyedCopy {
    const BlockTable* table;
    const uint8_t* keys;      // [blocks, 16]
    const uint64_t* targets;  // [blocks], addresses
    const int64_t* lengths;   // [blocks], in bytes
    int64_t blocks;
    bool past_caches;         // write where the caches need not hold it
};

// Each does the task with this number, a (row, kv head) of paged_decode, a row of the others; keyed_copy does all.
struct Operators {
    void (*paged_decode[2])(const PagedDecode*, int64_t);
    void (*add_rms_norm[2])(const AddRmsNorm*, int64_t);
    void (*rope_kv_write[2])(const RopeKvWrite*, int64_t);
    void (*silu_mul[2])(const SiluMul*, int64_t);
    int64_t (*keyed_copy)(const KeyedCopy*);
};
