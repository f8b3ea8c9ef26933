// keyed_copy on a CPU: finds blocks by their keys, copies them, and verifies what arrived.
//
// Every byte is read once, written once, and digested on its way (XXH3-128 of long inputs, written from the
// specification: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md).
#pragma once

#include "../native/operators.h"
#include "../native/vectors.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static const uint64_t WAYS = 8;  // places in a bucket
static const uint64_t KEY_WORDS = 2, ENTRY_WORDS = 10;
static const int64_t KEY_BYTES = 16, DIGEST_BYTES = 16;
// An entry's words. What follows the digest is not looked at: the seed binds the bytes to key and identity.
enum EntryWord { SEQUENCE = 0, OFFSET = 1, LENGTH = 2, OWNER_EPOCH = 3, DIGEST = 4 };
// host.py numbers them alike.
enum Stop { NONE = 0, MISS = 1, MOVED = 2, DAMAGED = 3, SHORT = 4 };

static const uint64_t SHORTEST_BYTES = 241;  // XXH3 is another function below
static const int64_t STRIPE_BYTES = 64;
static const int64_t SECRET_WORDS = 24, SECRET_BYTES = 192;
static const int64_t ROUND_STRIPES = 16;  // then the accumulators are scrambled
static const int64_t AHEAD_BYTES = 2048;  // asked for early: what the hardware fetches ahead ends with the page

static const uint64_t PRIME32_1 = 0x9E3779B1, PRIME32_2 = 0x85EBCA77, PRIME32_3 = 0xC2B2AE3D;
static const uint64_t PRIME64_1 = 0x9E3779B185EBCA87, PRIME64_2 = 0xC2B2AE3D27D4EB4F, PRIME64_3 = 0x165667B19E3779F9,
                      PRIME64_4 = 0x85EBCA77C2B2AE63, PRIME64_5 = 0x27D4EB2F165667C5;
static const uint64_t PRIME_MX1 = 0x165667919E3779F9;

// The specification's default secret, as little-endian words.
static const uint64_t DEFAULT_SECRET[SECRET_WORDS] = {
    0xbe4ba423396cfeb8, 0x1cad21f72c81017c, 0xdb979083e96dd4de, 0x1f67b3b7a4a44072, 0x78e5c0cc4ee679cb,
    0x2172ffcc7dd05a82, 0x8e2443f7744608b8, 0x4c263a81e69035e0, 0xcb00c391bb52283c, 0xa32e531b8b65d088,
    0x4ef90da297486471, 0xd8acdea946ef1938, 0x3f349ce33f76faa8, 0x1d4f0bc7c7bbdcf9, 0x3159b4cd4be0518a,
    0x647378d9c97e9fc8, 0xc3ebd33483acc5ea, 0xeb6313faffa081c5, 0x49daf0b751dd0d17, 0x9e68d429265516d3,
    0xfca1477d58be162b, 0xce31d07ad1b8f88f, 0x280416958f3acb45, 0x7e404bbbcafbd7af};

// A stripe is eight words: one, two or four vectors.
static const int PARTS = 16 / MNEME_LANES;
typedef uint64_t longs __attribute__((vector_size(4 * MNEME_LANES)));

static inline longs longs_at(const uint8_t* p) {
    longs v;
    memcpy(&v, p, sizeof v);
    return v;
}

// A read that the compiler neither repeats nor splits: v is from now on nothing but what is in this register.
static inline longs longs_read_once(const uint8_t* p) {
    longs v = longs_at(p);
#if defined(__AVX512F__)
    __asm__ volatile("" : "+v"(v));
#elif defined(__SSE2__)
    __asm__ volatile("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__ volatile("" : "+w"(v));
#else
    __asm__ volatile("" : "+m"(v) : : "memory");
#endif
    return v;
}

// The products of the lower halves. What compilers make of the last line is a whole 64-bit multiplication.
static inline longs low_product(longs a, longs b) {
#if defined(__AVX512F__)
    return (longs)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (longs)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (longs)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

static inline longs neighbours_swapped(longs v) {
#if defined(__AVX512F__)
    return (longs)_mm512_shuffle_epi32((__m512i)v, (_MM_PERM_ENUM)0x4e);
#elif defined(__AVX2__)
    return (longs)_mm256_shuffle_epi32((__m256i)v, 0x4e);
#else
    return (longs){v[1], v[0]};
#endif
}

// Past the caches: spares reading what is overwritten. `to` is aligned to the vector.
static inline void put_past_caches(longs v, uint8_t* to) {
#if defined(__AVX512F__)
    _mm512_stream_si512((__m512i*)to, (__m512i)v);
#elif defined(__AVX2__)
    _mm256_stream_si256((__m256i*)to, (__m256i)v);
#elif defined(__SSE2__)
    _mm_stream_si128((__m128i*)to, (__m128i)v);
#else
    memcpy(to, &v, sizeof v);
#endif
}

static inline void end_past_caches() {
#if defined(__SSE2__)
    _mm_sfence();  // such writes are seen in order by nobody else before this
#endif
}

static inline void accumulate(longs* sums, const longs* data, const uint8_t* secret) {
    for (int i = 0; i < PARTS; i++) {
        const longs keyed = data[i] ^ longs_at(secret + i * sizeof(longs));
        sums[i] += low_product(keyed, keyed >> 32) + neighbours_swapped(data[i]);
    }
}

static inline void scramble(longs* sums, const uint8_t* secret) {
    const longs prime = (longs){} + PRIME32_1;
    for (int i = 0; i < PARTS; i++) {
        const longs mixed = sums[i] ^ (sums[i] >> 47) ^ longs_at(secret + i * sizeof(longs));
        sums[i] = low_product(mixed, prime) + (low_product(mixed >> 32, prime) << 32);
    }
}

// What is read is both written and digested. Read again for the digest, it could be another's bytes by then, and the
// digest would vouch for what is not in the copy.
template <bool past_caches>
static inline void move_stripe(longs* sums, const uint8_t* from, uint8_t* to, const uint8_t* secret) {
    longs data[PARTS];
    for (int i = 0; i < PARTS; i++) data[i] = longs_read_once(from + i * sizeof(longs));
    for (int i = 0; i < PARTS; i++) {
        if (past_caches)
            put_past_caches(data[i], to + i * sizeof(longs));
        else
            memcpy(to + i * sizeof(longs), &data[i], sizeof(longs));
    }
    accumulate(sums, data, secret);
}

static inline uint64_t merged(const uint64_t* sums, int count, const uint8_t* secret, uint64_t start) {
    uint64_t key[8], total = start;
    memcpy(key, secret, 8 * count);
    for (int i = 0; i < count; i += 2) {
        const unsigned __int128 product = (unsigned __int128)(sums[i] ^ key[i]) * (sums[i + 1] ^ key[i + 1]);
        total += (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    total = (total ^ (total >> 37)) * PRIME_MX1;
    return total ^ (total >> 32);
}

static inline void put_big_endian(uint64_t x, uint8_t* out) {
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(x >> (56 - 8 * i));
}

// All stripes but the last.
template <bool past_caches>
static void move_stripes(longs* sums, const uint8_t* from, uint8_t* to, int64_t stripes, const uint8_t* secret) {
    const int64_t last = stripes * STRIPE_BYTES - 1;
    for (int64_t stripe = 0; stripe < stripes;) {
        const int64_t round_end = stripe + ROUND_STRIPES;
        const int64_t end = round_end < stripes ? round_end : stripes;
        for (const uint8_t* key = secret; stripe < end; stripe++, key += 8) {
            const int64_t at = stripe * STRIPE_BYTES, ahead = at + AHEAD_BYTES;
            __builtin_prefetch(from + (ahead < last ? ahead : last));
            move_stripe<past_caches>(sums, from + at, to + at, key);
        }
        if (stripe == round_end) scramble(sums, secret + SECRET_BYTES - STRIPE_BYTES);
    }
    if (past_caches) end_past_caches();
}

// XXH3-64 of 32 bytes, unseeded.
static inline uint64_t digest_of_32(const uint64_t* words) {
    return merged(words, 4, (const uint8_t*)DEFAULT_SECRET, 32 * PRIME64_1);
}

// The digest of what is then at `to`: `length` bytes, at least SHORTEST_BYTES.
static void copy_digested(const uint8_t* from, uint8_t* to, int64_t length, uint64_t seed, bool past_caches,
                          uint8_t* digest) {
    const int64_t stripes = (length - 1) / STRIPE_BYTES, whole = stripes * STRIPE_BYTES;
    uint64_t words_of_secret[SECRET_WORDS];
    for (int i = 0; i < SECRET_WORDS; i++) words_of_secret[i] = DEFAULT_SECRET[i] + (i % 2 ? -seed : seed);
    const uint8_t* secret = (const uint8_t*)words_of_secret;

    const uint64_t start[8] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
    longs sums[PARTS], last[PARTS];
    memcpy(sums, start, sizeof sums);
    if (past_caches && (uintptr_t)to % sizeof(longs) == 0)
        move_stripes<true>(sums, from, to, stripes, secret);
    else
        move_stripes<false>(sums, from, to, stripes, secret);
    // The last stripe overlaps those before: it is digested from the copy, where nobody else writes.
    memcpy(to + whole, from + whole, length - whole);
    for (int i = 0; i < PARTS; i++) last[i] = longs_at(to + length - STRIPE_BYTES + i * sizeof(longs));
    accumulate(sums, last, secret + SECRET_BYTES - STRIPE_BYTES - 7);

    uint64_t total[8];
    memcpy(total, sums, sizeof total);
    put_big_endian(merged(total, 8, secret + SECRET_BYTES - STRIPE_BYTES - 11, ~(length * PRIME64_2)), digest);
    put_big_endian(merged(total, 8, secret + 11, length * PRIME64_1), digest + 8);
}

// A word that another process may write, read here and now.
static inline uint64_t word_at(const uint64_t* p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }

// The entry of this key, in its first bucket if it is in both; null: there is none.
static inline const uint64_t* entry_of(const BlockTable* table, const uint64_t* key) {
    for (int half = 0; half < 2; half++) {
        const uint64_t first = (key[half] & table->mask) * WAYS;
        for (uint64_t place = first; place < first + WAYS; place++) {
            const uint64_t* there = table->keys + KEY_WORDS * place;
            if (word_at(there) == key[0] && word_at(there + 1) == key[1]) return table->entries + ENTRY_WORDS * place;
        }
    }
    return nullptr;
}

static Stop copy_block(const KeyedCopy* a, int64_t block) {
    const BlockTable* table = a->table;
    uint64_t key_and_identity[4];
    memcpy(key_and_identity, a->keys + KEY_BYTES * block, KEY_BYTES);
    memcpy(key_and_identity + 2, table->identity, sizeof table->identity);
    const uint64_t* entry = entry_of(table, key_and_identity);
    if (entry == nullptr) return MISS;

    const uint64_t sequence = __atomic_load_n(entry + SEQUENCE, __ATOMIC_ACQUIRE);
    const uint64_t offset = word_at(entry + OFFSET), length = word_at(entry + LENGTH);
    const uint64_t digest[2] = {word_at(entry + DIGEST), word_at(entry + DIGEST + 1)};
    if (sequence & 1 || word_at(entry + OWNER_EPOCH) != table->epoch) return MISS;
    if (length != (uint64_t)a->lengths[block] || length > table->size || offset > table->size - length) return MISS;
    if (length < SHORTEST_BYTES) return SHORT;

    uint8_t arrived[DIGEST_BYTES];
    uint8_t* to = (uint8_t*)a->targets[block];
    copy_digested(table->bytes + offset, to, length, digest_of_32(key_and_identity), a->past_caches, arrived);
    // Read again after the copy: not reused, not erased, not another owner's by now.
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (word_at(entry + SEQUENCE) != sequence || word_at(table->owner) != table->epoch) return MOVED;
    return memcmp(arrived, digest, DIGEST_BYTES) ? DAMAGED : NONE;
}

static int64_t keyed_copy(const KeyedCopy* a) {
    for (int64_t block = 0; block < a->blocks; block++) {
        const Stop why = copy_block(a, block);
        if (why != NONE) return 8 * block + why;
    }
    return 8 * a->blocks + NONE;
}
