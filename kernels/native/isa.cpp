// The operators for one instruction set. build.py compiles this file once for each, with its flags and its name.
#include "../add_rms_norm/native.h"
#include "../keyed_copy/native.h"
#include "../paged_decode/native.h"
#include "../rope_kv_write/native.h"
#include "../silu_mul/native.h"

#define JOIN(a, b) a##b
#define NAMED(isa) JOIN(mneme_operators_, isa)

extern const Operators NAMED(MNEME_ISA);
const Operators NAMED(MNEME_ISA) = {
    {paged_decode<float>, paged_decode<bfloat16>},
    {add_rms_norm<float>, add_rms_norm<bfloat16>},
    {rope_kv_write<float>, rope_kv_write<bfloat16>},
    {silu_mul<float>, silu_mul<bfloat16>},
    keyed_copy,
};
