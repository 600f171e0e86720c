/*
** core, ops: what has been started and will finish, as userdata. How the engine finds an op, how its
** answers are read, and what op:next() tells the program. Ops are started in core_start.c.
*/
#include <lauxlib.h>
#include <stdlib.h> /* free */
#include <string.h> /* memcpy */

#include "compat.h"
#include "core.h"
#include "interrupt.h"
#include "protocol.h"

static const char OP[] = "akool.lipsync.op";

/* {====== Birth ====== */

/* [-0, +1, m] Push a new op that has not started. */
static struct akl_op *new_op(lua_State *L, size_t job) {
  struct akl_op *op = akl_core_new(L, sizeof *op + job + 1, OP);
  akl_link_init(&op->call.link);
  akl_link_init(&op->call.news);
  akl_link_init(&op->call.waiting);
  return op;
}

/* [-0, +0, m] Let the engine whose box is at 'engine' find the op on top by a number. */
static void anchor(lua_State *L, int engine, struct akl_op *op) {
  struct akl_engine_box *box = lua_touserdata(L, engine);
  int slot = box->free_slot;
  akl_lua_getvalue(L, engine);
  if (slot != 0) {
    lua_rawgeti(L, -1, slot);
    box->free_slot = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
  } else {
    slot = box->slots + 1;
  }
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
  if (slot > box->slots)
    box->slots = slot;
  op->engine = box->number;
  op->call.slot = (unsigned)slot;
}

bool akl_core_new_op(lua_State *L, size_t job) {
  if (akl_core_engine(L) == NULL)
    return false;
  struct akl_op *op = new_op(L, job);
  anchor(L, lua_gettop(L) - 1, op);
  return true;
}

void akl_core_release(lua_State *L, int engine, struct akl_op *op) {
  struct akl_engine_box *box = lua_touserdata(L, engine);
  int slot = (int)op->call.slot;
  if (slot == 0 || op->engine != box->number)
    return; /* given back already, or the engine is another one by now */
  akl_lua_getvalue(L, engine);
  lua_pushinteger(L, box->free_slot);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
  box->free_slot = slot;
  op->call.slot = 0;
}

/* ============================================================ }
** {====== Answers ====== */

void akl_core_push_op(lua_State *L, int engine, const struct akl_call *c) {
  akl_lua_getvalue(L, engine);
  lua_rawgeti(L, -1, (int)c->slot);
  lua_remove(L, -2);
}

int akl_core_read(lua_State *L) {
  struct akl_engine_box *box = lua_touserdata(L, 1);
  struct akl_reading *r = &box->reading;
  struct akl_op *op = lua_touserdata(L, 2); /* NULL for the call that fetches a token */
  akl_protocol_read(L, r->call, r->transfer, &r->answer);
  if (op == NULL || lua_isnil(L, -1))
    return 0;
  if (r->call->kind != AKL_POLL) {
    akl_lua_setvalue(L, 2);
    op->filled = true;
    return 0;
  }
  if (!op->filled) {
    lua_newtable(L);
    akl_lua_setvalue(L, 2);
    op->filled = true;
  }
  akl_lua_getvalue(L, 2);
  lua_insert(L, -2);
  lua_rawseti(L, -2, op->jobs + 1); /* told or not is decided next */
  return 0;
}

void akl_core_finish(lua_State *L, int engine, struct akl_transfer *t) {
  struct akl_engine_box *box = lua_touserdata(L, engine);
  struct akl_engine *e = box->engine;
  struct akl_reading *r = &box->reading;
  struct akl_call *c = t->owner;
  int top = lua_gettop(L);
  lua_pushvalue(L, engine + 1);
  lua_pushvalue(L, engine);
  /* Keeps the op alive while its answer is read. The call that fetches a token has none: nil. */
  akl_core_push_op(L, engine, c);
  struct akl_op *op = lua_touserdata(L, -1);
  if (op == NULL && c->kind != AKL_TOKEN) {
    akl_call_cancel(c, AKL_CAUSE_CANCELLED, "nobody waits for it any more");
  } else if (akl_call_ended(c, t)) {
    *r = (struct akl_reading){.call = c, .transfer = t};
    lua_pushvalue(L, -1);
    lua_insert(L, top + 1);
    if (lua_pcall(L, 2, 0, 0) != 0) {
      akl_error_set(&r->answer.error, AKL_CAUSE_OUT_OF_MEMORY,
                    "While reading the service's answer, memory ran out.");
      r->answer.error.http_status = t->status;
    }
    if (c->state == AKL_OVER) { /* cancelled meanwhile, by a finalizer of the program's */
      if (c->kind == AKL_CREATE)
        akl_error_uncertain(&c->error);
    } else if (akl_call_answered(c, t, &r->answer) && op != NULL && c->kind == AKL_POLL) {
      op->jobs++;
    }
    akl_error_clear(&r->answer.error);
    akl_wipe_string(r->answer.token);
    r->answer.token = NULL;
    akl_engine_recycle(e, t);
  } else {
    akl_engine_recycle(e, t);
  }
  lua_settop(L, top);
}

/* ============================================================ }
** {====== What an op tells ====== */

static struct akl_op *check_op(lua_State *L) {
  struct akl_op *op = akl_core_check(L, 1, OP);
  return op;
}

/* [-0, +1, m] Push the result, or nil. For a poll that is the last job that came. */
static void push_result(lua_State *L, const struct akl_op *op) {
  if (!op->filled) {
    lua_pushnil(L);
    return;
  }
  akl_lua_getvalue(L, 1);
  if (op->call.kind == AKL_POLL) {
    lua_rawgeti(L, -1, op->jobs);
    lua_remove(L, -2);
  }
}

/* [-0, +2, m] The next job that a poll has to tell of. */
static int tell_status(lua_State *L, struct akl_op *op) {
  lua_pushliteral(L, "status");
  akl_lua_getvalue(L, 1);
  lua_rawgeti(L, -1, ++op->taken);
  lua_insert(L, -2);
  if (op->taken < op->jobs) { /* not the last: it will not be asked for again */
    lua_pushnil(L);
    lua_rawseti(L, -2, op->taken);
  } else if (op->call.state != AKL_OVER) { /* nor is the last one the result: hold no table */
    akl_lua_dropvalue(L, 1);
    op->filled = false;
    op->taken = op->jobs = 0;
  }
  lua_pop(L, 1);
  return 2;
}

static int tell_progress(lua_State *L, struct akl_download *d) {
  d->has_progress = false;
  lua_pushliteral(L, "progress");
  akl_lua_pushwhole(L, (lua_Number)d->file.size);
  if (d->file.total < 0)
    return 2;
  akl_lua_pushwhole(L, (lua_Number)d->file.total);
  return 3;
}

static int tell_end(lua_State *L, struct akl_op *op) {
  struct akl_call *c = &op->call;
  if (c->error.kind != AKL_KIND_NONE) {
    lua_pushliteral(L, "failed");
    akl_core_push_error(L, &c->error, akl_call_job(c),
                        c->status == AKL_UNKNOWN ? NULL
                                                 : akl_status_word((enum akl_status)c->status));
    return 2;
  }
  lua_pushliteral(L, "done");
  if (c->kind == AKL_DOWNLOAD && c->download != NULL)
    akl_core_push_file(L, c->download->file.path, c->download->file.size, c->download->file.sha256);
  else if (c->kind == AKL_SLEEP)
    lua_pushboolean(L, 1);
  else if (c->kind == AKL_INTERRUPTION)
    lua_pushstring(L, akl_interrupt_word(c->number));
  else
    push_result(L, op);
  return 2;
}

/* op:next(): the next thing it has to tell, or nil and the op's slot when there is nothing yet:
**   "event", table; "status", job (a poll); "progress", bytes, total or nothing (a download);
**   "done", result; "failed", error. The last two stay the last word. */
static int op_next(lua_State *L) {
  struct akl_op *op = check_op(L);
  struct akl_call *c = &op->call;
  lua_settop(L, 1);
  if (c->last_event != NULL) {
    /* Out of the call before it is told: a finalizer that runs meanwhile may take the next. */
    union {
      struct akl_event event;
      char room[sizeof(struct akl_event) + AKL_EVENT_TEXT];
    } copy;
    struct akl_event *event = akl_call_event(c);
    memcpy(&copy, event, sizeof *event + strlen(event->text) + 1);
    free(event);
    lua_pushliteral(L, "event");
    akl_core_push_event(L, &copy.event, akl_call_job(c));
    return 2;
  }
  if (op->taken < op->jobs)
    return tell_status(L, op);
  if (c->download != NULL && c->download->has_progress && c->download->file.path != NULL)
    return tell_progress(L, c->download);
  if (c->state == AKL_OVER)
    return tell_end(L, op);
  lua_pushnil(L);
  lua_pushinteger(L, (lua_Integer)c->slot);
  return 2;
}

/* op:cancel(): end it now; its last word is an error of kind "cancelled". */
static int op_cancel(lua_State *L) {
  struct akl_call *c = &check_op(L)->call;
  if (c->engine != NULL && akl_engine_foreign(c->engine))
    akl_calls_close(c->engine);
  akl_call_cancel(c, AKL_CAUSE_CANCELLED, "it was cancelled");
  return 0;
}

/* op:hurry(): somebody says that there is news. A poll that waits for its next request sends it now, if
** its client's pace allows; anything else goes on as it does. */
static int op_hurry(lua_State *L) {
  struct akl_call *c = &check_op(L)->call;
  if (c->engine != NULL && !akl_engine_foreign(c->engine))
    akl_call_hurry(c);
  return 0;
}

/* op:over(): has it ended? */
static int op_over(lua_State *L) {
  lua_pushboolean(L, check_op(L)->call.state == AKL_OVER);
  return 1;
}

static int op_gc(lua_State *L) {
  struct akl_op *op = check_op(L);
  akl_call_free(&op->call);
  (void)akl_core_instance(L);
  akl_core_release(L, lua_gettop(L), op);
  return 0;
}

static int op_tostring(lua_State *L) {
  struct akl_call *c = &check_op(L)->call;
  lua_pushfstring(L, "%s (%s, %s)", OP, akl_call_word((enum akl_call_kind)c->kind),
                  c->state == AKL_OVER ? "over" : "under way");
  return 1;
}

/* ============================================================ } */

static const luaL_Reg op_methods[] = {
    {"next", op_next}, {"cancel", op_cancel}, {"hurry", op_hurry}, {"over", op_over}, {NULL, NULL},
};

static const luaL_Reg op_meta[] = {
    {"__gc", op_gc},
    {"__close", op_cancel},
    {"__tostring", op_tostring},
    {NULL, NULL},
};

void akl_core_open_op(lua_State *L) {
  akl_core_class(L, OP, op_methods, op_meta);
}
