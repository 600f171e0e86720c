/* memory: see memory.h. The linker hands every malloc of this program's own objects to the functions
** __wrap_*, while libcurl and other shared libraries keep their own (option --wrap). */
#include "memory.h"

#include <curl/curl.h> /* curl_global_init_mem */
#include <string.h>    /* memcpy */

/* The names are the linker's. */
void *__real_malloc(size_t size);               // NOLINT
void *__real_calloc(size_t count, size_t size); // NOLINT
void *__real_realloc(void *block, size_t size); // NOLINT
void __real_free(void *block);                  // NOLINT
void *__wrap_malloc(size_t size);               // NOLINT
void *__wrap_calloc(size_t count, size_t size); // NOLINT
void *__wrap_realloc(void *block, size_t size); // NOLINT
void __wrap_free(void *block);                  // NOLINT
char *__wrap_strdup(const char *text);          // NOLINT

static struct {
  bool armed;
  enum memory_kind kind;
  enum memory_mode mode;
  long index, asked;
  bool refused;
} plan;

static long live[MEMORY_KINDS];

void memory_arm(enum memory_kind kind, enum memory_mode mode, long index) {
  plan.kind = kind;
  plan.mode = mode;
  plan.index = index;
  plan.asked = 0;
  plan.refused = false;
  plan.armed = true;
}

bool memory_disarm(void) {
  plan.armed = false;
  return plan.refused;
}

long memory_asked(void) {
  return plan.asked;
}

long memory_live(enum memory_kind kind) {
  return live[kind];
}

bool memory_refuses(enum memory_kind kind) {
  if (!plan.armed || kind != plan.kind)
    return false;
  plan.asked++;
  if (plan.index == 0 || plan.asked < plan.index)
    return false;
  if (plan.mode == MEMORY_ONCE && plan.asked > plan.index)
    return false;
  if (plan.mode == MEMORY_TWICE && plan.asked > plan.index + 1)
    return false;
  plan.refused = true;
  return true;
}

/* {====== Counted allocation, for whoever asks ====== */

static void *take(enum memory_kind kind, size_t size) {
  void *block = memory_refuses(kind) ? NULL : __real_malloc(size);
  live[kind] += block != NULL;
  return block;
}

static void *take_zeroed(enum memory_kind kind, size_t count, size_t size) {
  void *block = memory_refuses(kind) ? NULL : __real_calloc(count, size);
  live[kind] += block != NULL;
  return block;
}

static void *resize(enum memory_kind kind, void *block, size_t size) {
  if (block == NULL)
    return take(kind, size);
  return memory_refuses(kind) ? NULL : __real_realloc(block, size);
}

static void give_back(enum memory_kind kind, void *block) {
  live[kind] -= block != NULL;
  __real_free(block);
}

static char *duplicate(enum memory_kind kind, const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = take(kind, size);
  return copy == NULL ? NULL : memcpy(copy, text, size);
}

/* ============================================================ }
** {====== Lua ====== */

/* From lua_Alloc in the manual: "Lua assumes that the allocator cannot fail when osize >= nsize." */
void *memory_for_lua(void *user, void *block, size_t before, size_t after) {
  (void)user;
  if (after == 0) {
    give_back(MEMORY_LUA, block);
    return NULL;
  }
  if (block == NULL)
    return take(MEMORY_LUA, after);
  return after <= before ? __real_realloc(block, after) : resize(MEMORY_LUA, block, after);
}

void *memory_for_service(void *user, void *block, size_t before, size_t after) {
  (void)user;
  (void)before;
  if (after > 0)
    return __real_realloc(block, after);
  __real_free(block);
  return NULL;
}

/* ============================================================ }
** {====== libcurl ====== */

static void *curl_take(size_t size) {
  return take(MEMORY_CURL, size);
}

static void *curl_take_zeroed(size_t count, size_t size) {
  return take_zeroed(MEMORY_CURL, count, size);
}

static void *curl_resize(void *block, size_t size) {
  return resize(MEMORY_CURL, block, size);
}

static void curl_give_back(void *block) {
  give_back(MEMORY_CURL, block);
}

static char *curl_duplicate(const char *text) {
  return duplicate(MEMORY_CURL, text);
}

bool memory_init(void) {
  return curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_take, curl_give_back, curl_resize,
                              curl_duplicate, curl_take_zeroed) == CURLE_OK;
}

/* ============================================================ }
** {====== src/ ====== */

void *__wrap_malloc(size_t size) { // NOLINT
  return take(MEMORY_CORE, size);
}

void *__wrap_calloc(size_t count, size_t size) { // NOLINT
  return take_zeroed(MEMORY_CORE, count, size);
}

void *__wrap_realloc(void *block, size_t size) { // NOLINT
  return resize(MEMORY_CORE, block, size);
}

void __wrap_free(void *block) { // NOLINT
  give_back(MEMORY_CORE, block);
}

char *__wrap_strdup(const char *text) { // NOLINT
  return duplicate(MEMORY_CORE, text);
}

/* ============================================================ } */
