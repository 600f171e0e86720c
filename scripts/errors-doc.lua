-- errors-doc: prints docs/errors.md. Its tables are those of src/errors.def, read from the core.
--
--   lua5.4 scripts/errors-doc.lua > docs/errors.md

local tree = arg[0]:match("^(.*)scripts/[^/]*$") or "../"
if not os.getenv "LUA_CPATH" then package.cpath = tree .. "build/?.so;" .. package.cpath end

local core = require "akool.lipsync.core"

local unpack = table.unpack or unpack -- luacheck: ignore 143 (Lua 5.1)

local INTRODUCTION = [[
# Errors

<!-- Made by scripts/errors-doc.lua from src/errors.def: change those, not this page. -->

What the world does wrong (the network, the service, the disk, a bad URL in your data) comes back as
`nil, err`; only misuse by the program raises. An error is a table that prints as one line:

```text
media/video_too_long (code 1204): The video is longer than 60 s. Cut it into pieces of at most 60 s.
```

Its fields are in [the reference](reference.md#errors). Three of them are enough to react:

1. `err.maybe_created` is true when the answer to a create was lost. The job may exist and be paid.
   Nothing here sends such a create again; before you do, look at the account.
   Such an error is never `retryable`.
2. `err.job` is the job that the error is about, with at least its `id`. It is not lost: go on with
   `wait` or `download` and that id, in another process too.
3. `err.kind` is one of the words below. Branch on it; `err.name` is finer and made for logs and for
   the few cases where you want to tell two errors of a kind apart.

`err.retryable` says that the same call may succeed later, unchanged.

```lua
local lipsync = require "akool.lipsync"

local job, err = lipsync.create {
  video_url = "https://example.com/clip.mp4",
  audio_url = "https://example.com/voice.wav",
}
if job then
  print("created", job.id)
elseif err.maybe_created then
  print("look at the account before trying again", err)
elseif err.kind == "quota" or err.kind == "account" then
  print("something for the owner of the account", err)
elseif err.retryable then
  print("try again later", err, err.retry_after)
else
  print("this will not get better by itself", err)
end
```

## Kinds

]]

local KINDS = {
  { "invalid", "What was passed cannot work: a URL, an id, a key, an address.",
    "Mend the input." },
  { "auth", "There are no credentials, or they were refused.",
    "Check the key. A token that was fetched for client_id and client_secret renews itself." },
  { "permission", "The account may not do this.",
    "Use the account that made the job, or a plan that includes it." },
  { "account", "The account is unpaid, unverified, banned or not subscribed.",
    "A person has to settle it with Akool." },
  { "quota", "The quota or the credits are used up.",
    "Top up. No job was made." },
  { "rate_limited", "Requests came too often, and still did after the repeats.",
    "Wait `err.retry_after` seconds if it is there, and run fewer jobs at once." },
  { "not_found", "The service does not know this job or resource.",
    "Check the id, the account and `base_url`." },
  { "media", "The service cannot use this video or audio.",
    "Mend the file as the message says and start a new job." },
  { "duplicate", "This has been done before.",
    "Use the earlier result." },
  { "server", "The service, or a gateway in front of it, is in trouble.",
    "If `err.retryable`, try again later; otherwise do what the message says." },
  { "network", "The connection failed or broke.",
    "Check the way to the service, then try again." },
  { "tls", "The other side could not prove who it is.",
    "Mend the certificate, the clock or `ca_file`. Verification cannot be turned off." },
  { "timeout", "It took longer than allowed.",
    "Try again or raise the limit in the message. A job goes on after `wait_timeout`." },
  { "protocol", "The answer is not what the service documents.",
    "Try again if `err.retryable`; look for a gateway or a proxy in between." },
  { "failed", "The service worked on the job and gave up.",
    "See `err.job.data` and `err.server_message`; check the media and start a new job." },
  { "expired", "The result is gone: it is kept for 7 days.",
    "The job has to be made, and paid, again." },
  { "io", "A file or the ledger cannot be used, or memory ran out.",
    "Mend that and go on: a result is still at the service." },
  { "cancelled", "The program stopped this itself.",
    "Nothing to do." },
}

local CODES = [[

## Codes of the service

Akool answers with a code, which is `err.code`. `lipsync.explain(code)` returns a row of this table.
*Repeated* ones are repeated by the library, up to `max_retries` times with growing waits; creates
too, because such an answer says that nothing was done. Two limits: when the service asks for a wait
of more than a minute, that is yours to decide (`err.retry_after`); and a poll goes on asking until
it has failed for two minutes. After 1101 a token that the library has fetched is renewed, once, and
credentials that are functions are asked again, once.

A code that is not in the table becomes an error named `unknown_code`: the code is in `err.code`,
the words of the service in `err.server_message`.

]]

local CAUSES = [[

## Causes of our own

These errors are found on this side. What exactly happened is the first sentence of `err.message`;
the advice below is the second. *Retryable* ones that come from an exchange are repeated by the
library before you see them, with two exceptions: `wait_timeout` is final, and a create is repeated
only when the service certainly did not take it, that is, when no byte of it was sent or the answer
was a refusal.

]]

local function row(...)
  io.write("| ", table.concat({ ... }, " | "), " |\n")
end

local function head(...)
  local lines = {}
  for i = 1, select("#", ...) do lines[i] = "---" end
  row(...)
  row(unpack(lines))
end

local function code(text)
  return "`" .. text .. "`"
end

local function yes(flag)
  return flag and "yes" or "no"
end

--- Every kind that the table of errors uses must be explained here, and no other.
local function check_kinds()
  local used, known = {}, {}
  for _, list in ipairs { core.codes(), core.causes() } do
    for _, entry in ipairs(list) do used[entry.kind] = true end
  end
  for _, kind in ipairs(KINDS) do
    known[kind[1]] = true
    assert(used[kind[1]], "no error is of the kind " .. kind[1])
  end
  for kind in pairs(used) do assert(known[kind], "nothing is said here about the kind " .. kind) end
end

check_kinds()
io.write(INTRODUCTION)
head("kind", "what it means", "what to do")
for _, kind in ipairs(KINDS) do row(code(kind[1]), kind[2], kind[3]) end

io.write(CODES)
head("code", "name", "kind", "repeated", "what it means", "what to do")
for _, entry in ipairs(core.codes()) do
  row(("%d"):format(entry.code), code(entry.name), code(entry.kind), yes(entry.retryable),
    entry.meaning, entry.advice)
end

io.write(CAUSES)
head("name", "kind", "retryable", "what to do")
for _, entry in ipairs(core.causes()) do
  row(code(entry.name), code(entry.kind), yes(entry.retryable), entry.advice)
end
