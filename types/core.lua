---@meta akool.lipsync.core
-- The C module, for a language server and for readers of lua/akool/lipsync/*.lua. Programs use
-- `akool.lipsync`; hosts with a loop of their own use the engine. Times are in seconds.

---@class akool.lipsync.core
---@field _VERSION string # "0.1.0"
---@field libcurl string  # version of libcurl
---@field tls string      # name and version of the library that it uses for TLS
local core = {}

-- The module -----------------------------------------------------------------------------------

--- The engine of this Lua state, made on first use, and anew after it was closed or after a fork.
---@return akool.lipsync.core.Engine?
---@return akool.lipsync.Error? err # kind "io": memory or descriptors have run out
function core.engine() end

--- The monotonic clock.
---@return number seconds
function core.now() end

--- A client of the service. Sends nothing.
---@param base_url string
---@param allow_http boolean? # plain http to other machines
---@return akool.lipsync.core.Client?
---@return akool.lipsync.Error? err # kind "invalid": a URL that cannot be used
function core.client(base_url, allow_http) end

---@class akool.lipsync.core.Options
---@field connect_timeout number
---@field timeout number
---@field create_timeout number
---@field stall_timeout number
---@field wait_timeout number
---@field poll_first number
---@field poll_max number
---@field poll_factor number
---@field poll_jitter number
---@field max_retries integer
---@field max_connections integer
---@field max_bytes number
---@field allow_http boolean
---@field allow_private boolean
---@field overwrite boolean
---@field resume boolean
---@field events boolean      # record events
---@field proxy string?       # nil: as the environment says; "": none
---@field ca_file string?     # nil: the system's
---@field user_agent string

--- All options of a client or of one call as one value that calls share. Checks nothing beyond the
--- types of numbers and strings: options.lua has done that.
---@param options akool.lipsync.core.Options
---@return akool.lipsync.core.Settings
function core.settings(options) end

--- Start a wait.
---@param seconds number # 0 or less: over in the next step
---@return akool.lipsync.core.Op?
---@return akool.lipsync.Error? err # kind "io": there is no engine
function core.sleep(seconds) end

--- Wait for SIGINT or SIGTERM; the result is "SIGINT" or "SIGTERM". While such an op lives their handlers
--- are ours, unless they are ignored. A second signal of the same kind does what it did before, and so do
--- both once the op is over; one that came by then and was not told is raised again.
---@return akool.lipsync.core.Op?
---@return akool.lipsync.Error? err # kind "invalid": the process has such an op already, in whatever
---                                   Lua state; kind "io": there is no engine
function core.interruption() end

--- Could a download write there? Leaves nothing behind.
---@param settings akool.lipsync.core.Settings
---@param path string
---@return true?
---@return akool.lipsync.Error? err # kind "io"
function core.try_path(settings, path) end

--- What is wrong with a URL that the service is to fetch, as the end of a sentence. Whether it is
--- public shows when a client sends it.
---@param url string
---@return string?
function core.bad_url(url) end

--- What is wrong with a job's id, as the end of a sentence.
---@param id string
---@return string?
function core.bad_id(id) end

--- Copy a file of this machine as a download would bring it: through a part beside it, synced, and
--- never over another file unless the settings say `overwrite`. Blocks for as long as the disk takes.
---@param settings akool.lipsync.core.Settings
---@param from string
---@param to string
---@return { path: string, bytes: integer, sha256: string }?
---@return akool.lipsync.Error? err # kind "io"
function core.copy(settings, from, to) end

--- The SHA-256 of a text, as 64 lower-case hex digits.
---@param text string # any bytes
---@return string? # nil: memory ran out
function core.sha256(text) end

--- An error of one of our own causes. Its message is `what_happened` and the advice of the table.
--- Raises when errors.def has no cause of that name.
---@param name string          # of the cause: "job_failed"
---@param what_happened string # a sentence
---@param fields table?        # copied over it: { job = …, server_message = … }
---@return akool.lipsync.Error
function core.error(name, what_happened, fields) end

---@class akool.lipsync.core.Entry # a row of errors.def
---@field code integer?   # absent for a cause of our own
---@field kind string
---@field name string
---@field retryable boolean
---@field meaning string? # absent for a cause of our own
---@field advice string

--- The row of one of Akool's codes, nil when the table has none.
---@param code number
---@return akool.lipsync.core.Entry?
function core.explain(code) end

--- All rows of Akool's codes, in the order of errors.def.
---@return akool.lipsync.core.Entry[]
function core.codes() end

--- All rows of our own causes, in the order of errors.def.
---@return akool.lipsync.core.Entry[]
function core.causes() end

-- Webhooks -------------------------------------------------------------------------------------

--- Open a delivery. The secret has 16, 24 or 32 bytes; timestamp and nonce are as they were sent.
---@param client_id string
---@param client_secret string
---@param timestamp string
---@param nonce string
---@param signature string
---@param sealed string # base64, at most 64 KiB
---@return boolean? fine # nil: memory ran out
---@return string? text # what was in it; if it is not fine some bytes, to be treated alike
function core.open_delivery(client_id, client_secret, timestamp, nonce, signature, sealed) end

--- Seal a text as the service does.
---@param client_id string
---@param client_secret string
---@param timestamp string
---@param nonce string
---@param text string
---@return string? signature # nil: memory ran out
---@return string? sealed
function core.seal_delivery(client_id, client_secret, timestamp, nonce, text) end

--- The table in a JSON text; whole numbers are integers, null is absent. nil when it is none.
---@param text string
---@return table?
function core.decode(text) end

--- A value as JSON. Raises for what JSON cannot hold.
---@param value any
---@return string
function core.encode(value) end

-- The engine -----------------------------------------------------------------------------------

--- What moves every op forward. Its methods raise once it is closed, and those that would touch its
--- descriptors in a process that was forked from the one that made it; `close` never does. Closes
--- itself when collected or, in Lua 5.4, at the end of a `<close>` variable's scope.
---@class akool.lipsync.core.Engine
local Engine = {}

--- Make progress; wait up to `timeout` seconds for some if there is none to make now.
---@param timeout number? # default 0
function Engine:step(timeout) end

--- The next op that has news, nil when there is none. An op comes once for all the news it has:
--- call `op:next` until it returns nil.
---@return akool.lipsync.core.Op?
---@return integer? slot # of that op
function Engine:ready() end

--- The one descriptor to watch: when it is readable, a step has work. It stays the same until the
--- engine is closed.
---@return integer fd
function Engine:pollfd() end

--- What to watch the descriptor for, in the words of cqueues.
---@return "r"
function Engine:events() end

--- How long until a step has work even if the descriptor stays silent.
---@return number? seconds # nil: only the descriptor can tell
function Engine:timeout() end

---@class akool.lipsync.core.Stats
---@field calls integer   # ops that are not over
---@field running integer # HTTP exchanges under way
---@field queued integer  # exchanges that wait for max_connections
---@field handles integer # easy handles in all
---@field idle integer    # of them kept for reuse
---@field timers integer

--- How much there is of everything, for tests and diagnostics.
---@return akool.lipsync.core.Stats
function Engine:stats() end

--- Make the descriptor readable at once, so that a host that watches it comes by. Before the first
--- `pollfd` there is nobody to wake.
function Engine:wake() end

--- Call `f()` before the descriptor closes, instead of what was set before. Not when the state
--- closes, nor in a forked child, where another process watches.
---@param f fun()
function Engine:on_close(f) end

--- End what is under way (errors of kind "cancelled") and free everything. Closing twice is fine.
function Engine:close() end

-- Clients --------------------------------------------------------------------------------------

--- What all calls of one client share: address, credentials, token, retry budget, pace. The methods
--- that start something return at once, nil and an error of kind "io" when there is no engine; an
--- argument of the wrong type raises.
---@class akool.lipsync.core.Client
local Client = {}

--- Use these credentials from now on.
---@param way "api_key"|"token"|"client_id"
---@param value string   # the key, the token or the client id
---@param secret string? # with "client_id"
---@return true?
---@return akool.lipsync.Error? err # kind "invalid": a character that no credential has
function Client:credentials(way, value, secret) end

--- The text, with '*' over whatever of this client's credentials stands in it.
---@param text string
---@return string
function Client:redact(text) end

--- Start a create. Its result is a job.
---@param settings akool.lipsync.core.Settings
---@param video_url string
---@param audio_url string
---@param webhook_url string?
---@return akool.lipsync.core.Op?
---@return akool.lipsync.Error? err # kind "invalid": a URL that the service could not open
function Client:create(settings, video_url, audio_url, webhook_url) end

--- Start to ask for a job once. Its result is the job.
---@param settings akool.lipsync.core.Settings
---@param id string
---@return akool.lipsync.core.Op?
---@return akool.lipsync.Error? err # kind "invalid"
function Client:info(settings, id) end

--- Start to follow a job to its end. It tells every change of status; its result is the job, which
--- is then completed or failed.
---@param settings akool.lipsync.core.Settings
---@param id string
---@param age number? # of a job that was not over when last seen: the first request may wait
---@return akool.lipsync.core.Op?
---@return akool.lipsync.Error? err # kind "invalid"
function Client:poll(settings, id, age) end

--- Start to ask for the balance. Its result is a table { credits = number }.
---@param settings akool.lipsync.core.Settings
---@return akool.lipsync.core.Op?
---@return akool.lipsync.Error? err # kind "io": there is no engine
function Client:credits(settings) end

--- Start a download. Its result is a file.
---@param settings akool.lipsync.core.Settings
---@param url string
---@param path string
---@param id string?               # of the job, for errors and events
---@param wants_progress boolean?
---@return akool.lipsync.core.Op?
---@return akool.lipsync.Error? err # kind "invalid" about the URL, "io" about the path
function Client:download(settings, url, path, id, wants_progress) end

-- Settings -------------------------------------------------------------------------------------

--- Options, checked, shared by counting. Has no methods.
---@class akool.lipsync.core.Settings
local Settings = {}

-- Ops ------------------------------------------------------------------------------------------

--- Something that has been started and will finish. It is cancelled when it is collected or, in Lua
--- 5.4, at the end of a `<close>` variable's scope.
---@class akool.lipsync.core.Op
local Op = {}

--- The next thing it has to tell, nil when there is nothing yet (then step the engine):
---   "event", table             something happened; only if the settings want events
---   "status", job              of a poll: a change of status
---   "progress", bytes, total?  of a download that wants it
---   "done", result             the last word: a job, a file, a balance, a signal, or true of a sleep
---   "failed", error            the last word
--- The last word is said again however often one asks.
---@return "event"|"status"|"progress"|"done"|"failed"|nil kind
---@return any value
---@return integer? total
function Op:next() end

--- End it now; its last word is an error of kind "cancelled". Does nothing when it is over.
function Op:cancel() end

--- There may be news: a poll that waits for its next request sends it now, if its client's pace
--- allows. Anything else goes on as it does.
function Op:hurry() end

--- Has it ended?
---@return boolean
function Op:over() end

return core
