/*
** core: what the files of this room share. `core.c` is the module and its engine, `core_client.c`
** settings and clients, `core_start.c` the beginnings of ops, `core_op.c` ops, `core_value.c` errors,
** events and files as Lua tables, `core_file.c` files without an op, `core_webhook.c` deliveries.
*/
#ifndef AKL_CORE_H
#define AKL_CORE_H

#include <lauxlib.h>
#include <lua.h>

#include "call.h"
#include "client.h"
#include "engine.h"
#include "errors.h"

/* What every object of ours begins with, all of them userdata: the address that tells its class. So a
** check costs no look into the registry, and nothing of another module's is taken for one of ours. */
struct akl_object {
  const char *class;
};

/* The engine as Lua holds it. Born closed. Beside it (as its value) lies the table of its ops, with
** weak values: an op by its slot, and in a free slot the number of the next free one. */
struct akl_engine_box {
  struct akl_object object;
  struct akl_engine *engine; /* owned; NULL when closed */
  unsigned number;           /* tells it from those that came before it */
  int slots, free_slot;      /* how many there are; the first free one, 0 if none */
  bool stepping;             /* a step is under way: a finalizer may not begin another, */
  bool to_close;             /* and closes the engine only when it is through */
  struct akl_reading {       /* the answer that is being read */
    struct akl_call *call;
    struct akl_transfer *transfer;
    struct akl_answer answer;
  } reading;
};

/* An op as Lua holds it: the call itself. Beside it, once `filled`, lies what it has to tell: the
** result's table, or for a poll a list of jobs in the order in which they came. */
struct akl_op {
  struct akl_object object;
  struct akl_call call; /* its slot is 0 once it gave that back */
  unsigned engine;      /* the number of the engine whose slot it has */
  int taken;            /* a poll: how many of the jobs the program has been given */
  int jobs;             /* a poll: how many are in its list */
  bool filled;
  char job[]; /* the call's: id of the job it is about */
};

/* [-0, +1, -] Push the box of the engine that the state has, or nil, and return it, or NULL. */
struct akl_engine_box *akl_core_instance(lua_State *L);

/* [-0, +1 or 2, e] Push the state's engine, made on first use and anew after it was closed, and
** return its box. In a forked child the parent's is left alone and a new one is made. NULL when the
** system has no room for one: then nil and an error have been pushed. */
struct akl_engine_box *akl_core_engine(lua_State *L);

/* [-0, +2, e] Push the engine and a new op that the engine can find, with room for the id of a job
** of 'job' bytes and a zero byte. False when there is no engine: then nil and an error have been
** pushed, to be returned. */
bool akl_core_new_op(lua_State *L, size_t job);

/* [-0, +1, -] Push the op whose call this is, or nil when the program has dropped it. The engine's
** box is at 'engine'. */
void akl_core_push_op(lua_State *L, int engine, const struct akl_call *c);

/* [-0, +0, -] The op will have no more news: it gives its slot back to the engine whose box (or nil)
** is at 'engine'. */
void akl_core_release(lua_State *L, int engine, struct akl_op *op);

/* [-0, +0, -] A transfer has ended: find out what that means. The engine's box is at 'engine', the
** function akl_core_read just above it. Never raises: the transfer would be lost. */
void akl_core_finish(lua_State *L, int engine, struct akl_transfer *t);

/* (engine box, op or nil) -> nothing. Reads what the box says is to be read. */
int akl_core_read(lua_State *L);

/* [-0, +1, m] Push an error as the table that a caller sees. 'job' is the id of the job that it is
** about, 'status' what was last known of it; both may be NULL. */
void akl_core_push_error(lua_State *L, const struct akl_error *e, const char *job,
                         const char *status);

/* [-0, +2, m] Push nil and an error made of a cause; returns 2, to be returned. */
int akl_core_refuse(lua_State *L, enum akl_cause cause, const char *what, const char *problem);

/* [-0, +1, m] Push an event as a table. */
void akl_core_push_event(lua_State *L, const struct akl_event *event, const char *job);

/* [-0, +1, m] Push a file that is there as a table { path, bytes, sha256 }. */
void akl_core_push_file(lua_State *L, const char *path, int64_t size, const char *sha256);

/* The client or the settings at 'index'; raises when it is something else. */
struct akl_client *akl_core_check_client(lua_State *L, int index);
struct akl_settings *akl_core_check_settings(lua_State *L, int index);

/* Functions of the module, one table per file. */
extern const luaL_Reg akl_core_client_functions[];
extern const luaL_Reg akl_core_file_functions[];
extern const luaL_Reg akl_core_start_functions[];
extern const luaL_Reg akl_core_value_functions[];
extern const luaL_Reg akl_core_webhook_functions[];

/* [-0, +0, m] Make the metatables of a file. */
void akl_core_open_client(lua_State *L);
void akl_core_open_op(lua_State *L);
void akl_core_open_value(lua_State *L);

/* [-0, +0, m] Make a class with these methods and metamethods. 'name' lasts as long as the module: its
** address is what the class is known by, so that another copy of the module, of whatever version, has
** classes of its own. */
void akl_core_class(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *meta);

/* [-0, +0, -] Make the value on top one of this class. */
void akl_core_set_class(lua_State *L, const char *name);

/* [-0, +1, m] Push a new object of this class, whose struct has so many bytes and begins with its class;
** the rest is zero. */
void *akl_core_new(lua_State *L, size_t size, const char *name);

/* [-0, +0, v] The object of this class at 'index'; raises when it is something else. */
void *akl_core_check(lua_State *L, int index, const char *name);

/* Start an op; methods of a client. */
int akl_core_create(lua_State *L);
int akl_core_info(lua_State *L);
int akl_core_poll(lua_State *L);
int akl_core_credits(lua_State *L);
int akl_core_download(lua_State *L);

#endif
