/*
** memory: who may ask for memory, how it is counted, and when it is refused. The blocks of each kind
** are counted apart, so that a trial can fail those of one kind and see that none of any is left.
*/
#ifndef TORTURE_MEMORY_H
#define TORTURE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

enum memory_kind {
  MEMORY_LUA,  /* the allocator of the Lua state under test */
  MEMORY_CURL, /* libcurl's five hooks */
  MEMORY_CORE, /* malloc, calloc, realloc and strdup in src/ */
  MEMORY_KINDS
};

enum memory_mode {
  MEMORY_ONCE,   /* the n-th allocation fails */
  MEMORY_TWICE,  /* and the next: Lua collects its garbage and tries a refused one once more */
  MEMORY_ALWAYS, /* from the n-th on none succeeds */
  MEMORY_MODES
};

/* Give libcurl its hooks. Before anything else uses it. */
bool memory_init(void);

/* Fail the allocation 'index' (from 1 on; 0: none) of this kind, counted from now on. */
void memory_arm(enum memory_kind kind, enum memory_mode mode, long index);

/* Fail nothing any more. True if something was refused. */
bool memory_disarm(void);

/* How many allocations of the armed kind were asked for between the last arming and disarming. */
long memory_asked(void);

/* How many blocks of this kind are in use. */
long memory_live(enum memory_kind kind);

/* Count one allocation of this kind and say whether to refuse it. */
bool memory_refuses(enum memory_kind kind);

/* For lua_newstate: the state under test, and one that nothing ever fails for. */
void *memory_for_lua(void *user, void *block, size_t before, size_t after);
void *memory_for_service(void *user, void *block, size_t before, size_t after);

#endif
