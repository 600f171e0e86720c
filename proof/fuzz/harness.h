/*
** harness: what every fuzz target stands on. A target is a function from bytes to nothing that
** aborts when a promise of the library is broken; libFuzzer makes the bytes, the sanitizers see
** what the promise cannot say. One input may look at nothing that an earlier one left behind.
*/
#ifndef FUZZ_HARNESS_H
#define FUZZ_HARNESS_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The entry point that libFuzzer calls; each target defines it. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Say which promise was broken, and abort. */
_Noreturn void fuzz_broken(const char *promise, ...) __attribute__((format(printf, 1, 2)));

/* Abort unless 'holds'. What follows says the promise, as for printf. */
#define fuzz_must(holds, ...) ((holds) ? (void)0 : fuzz_broken(__VA_ARGS__))

/* {====== Input: bytes are taken from its front; when it is used up, all that comes is zeros ====== */

struct fuzz_input {
  const uint8_t *at;
  size_t left;
};

uint8_t fuzz_byte(struct fuzz_input *in);

/* A number below 'bound' (at least 1), from one byte or from four. */
unsigned fuzz_below(struct fuzz_input *in, unsigned bound);

/* Any double: often one that programs get wrong, else one with the bits that come. */
double fuzz_double(struct fuzz_input *in);

/* The next bytes, at most 'most' and as many as their first byte says; points into the input. */
const char *fuzz_bytes(struct fuzz_input *in, size_t most, size_t *size);

/* A terminated copy of the next bytes without zero bytes among them, to be freed. */
char *fuzz_string(struct fuzz_input *in, size_t most);

/* A terminated copy of 'size' bytes in an allocation of exactly that size and one, to be freed:
** a sanitizer sees who reads beyond. */
char *fuzz_copy(const void *bytes, size_t size);

/* ============================================================ }
** {====== The process ====== */

/* The lowest descriptor that is free: it rises when one was left open. */
int fuzz_lowest_descriptor(void);

/* A folder of this process's own, below TMPDIR; it is removed at exit. */
const char *fuzz_folder(void);

/* Remove every file in it. */
void fuzz_empty_folder(void);

/* Take what would lead to a proxy or to credentials out of the environment. */
void fuzz_clean_environment(void);

/* ============================================================ }
** {====== Lua ====== */

/* The Lua state with the module in it, with an empty stack: `akool.lipsync` and its core can be
** required from this tree. Made anew from time to time. */
lua_State *fuzz_lua(void);

/* Let libFuzzer know which lines of Lua are reached, as it knows of C by itself. */
void fuzz_lua_trace(lua_State *L);

/* Close the state; the next fuzz_lua makes another. */
void fuzz_lua_close(void);

/* [-n, +results, -] lua_pcall that takes only the loss of memory as a failure of the target's own:
** false when the function raised; then its error is on top. */
bool fuzz_call(lua_State *L, int arguments, int results);

/* [-0, +1, -] require 'module'; abort if that fails. */
void fuzz_require(lua_State *L, const char *module);

/* ============================================================ } */

#endif
