-- errors: every way in which a call can fail becomes one value that says what it was, what to do,
-- and whether the same call may succeed later; nothing the service said gets lost.

local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local silent = require "support.silent"

local plain_assert = (loadstring or load) "return assert" () -- Lua's own, which busted hides

local ID = "66160f989dfc997ac289037b"

-- Every code of Akool's documentation but success, and the kind that it has here.
local DOCUMENTED = {
  [1003] = "invalid", [1004] = "account", [1005] = "rate_limited", [1006] = "quota",
  [1007] = "media", [1008] = "not_found", [1009] = "permission", [1010] = "permission",
  [1011] = "duplicate", [1013] = "media", [1014] = "not_found", [1015] = "server",
  [1016] = "server", [1017] = "server", [1101] = "auth", [1102] = "auth", [1103] = "account",
  [1104] = "quota", [1105] = "server", [1108] = "server", [1109] = "account", [1110] = "server",
  [1111] = "server", [1112] = "server", [1200] = "account", [1201] = "server",
  [1202] = "duplicate", [1203] = "media", [1204] = "media", [1205] = "server", [1206] = "server",
  [1207] = "media", [1208] = "media", [1209] = "media", [1210] = "media", [1211] = "server",
  [1212] = "server", [1213] = "account", [1214] = "server", [1215] = "server", [1216] = "server",
  [1217] = "server", [1218] = "server", [1219] = "server", [1220] = "server", [1221] = "account",
  [1222] = "duplicate", [1223] = "server",
}
-- "try again later", and the rate limit
local RETRYABLE = { [1005] = true, [1201] = true, [1205] = true, [1211] = true }

local KINDS = {}
for word in ([[invalid auth permission account quota rate_limited not_found media duplicate server
  network tls timeout protocol failed expired io cancelled]]):gmatch "%S+" do KINDS[word] = true end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function is_sentence(text)
  return type(text) == "string" and #text > 5 and text:sub(-1) == "." and not text:find "%c"
end

describe("the table of codes", function()
  it("has every documented code and no other", function()
    local rows = {}
    for _, row in ipairs(core.codes()) do rows[row.code] = row end
    assert.are.same(sorted_keys(DOCUMENTED), sorted_keys(rows))
  end)

  it("has a name of its own, a meaning and advice for each of them", function()
    local seen = {}
    for _, row in ipairs(core.codes()) do
      assert.is_truthy(row.name:find "^[%l%d_]+$", row.name)
      assert.is_nil(seen[row.name], row.name)
      seen[row.name] = true
      assert.is_true(is_sentence(row.meaning), row.name)
      assert.is_true(is_sentence(row.advice), row.name)
      assert.is_true(KINDS[row.kind], row.name)
    end
  end)

  it("has a name of its own and advice for each of our own causes", function()
    local seen = {}
    for _, row in ipairs(core.causes()) do
      assert.is_truthy(row.name:find "^[%l%d_]+$", row.name)
      assert.is_nil(seen[row.name], row.name)
      seen[row.name] = true
      assert.is_true(is_sentence(row.advice), row.name)
      assert.is_true(KINDS[row.kind], row.name)
    end
    assert.is_true(seen.unknown_code)
  end)
end)

describe("an answer with a code", function()
  local t = fixture.new()

  local function refused(order)
    local client = t.client { max_retries = 0 }
    order.at = "info"
    t.service:fail(order)
    local job, err = client:info(ID)
    assert.is_nil(job)
    assert.are.equal(1, t.service:count())
    return err
  end

  for _, row in ipairs(core.codes()) do
    it(("is %s/%s for %d"):format(row.kind, row.name, row.code), function()
      local err = refused { code = row.code, msg = "said by the service" }
      assert.are.equal(DOCUMENTED[row.code], err.kind)
      assert.are.equal(row.name, err.name)
      assert.are.equal(row.code, err.code)
      assert.are.equal(row.meaning .. " " .. row.advice, err.message)
      assert.are.equal(RETRYABLE[row.code] or false, err.retryable)
      assert.are.equal("said by the service", err.server_message)
      assert.are.equal(200, err.http_status)
      assert.are.equal(ID, err.job.id)
      assert.is_false(err.maybe_created)
    end)
  end

  it("is kept when nobody has documented the code", function()
    local err = refused { code = 4242, msg = "something new" }
    assert.are.equal("server", err.kind)
    assert.are.equal("unknown_code", err.name)
    assert.are.equal(4242, err.code)
    assert.are.equal("something new", err.server_message)
    assert.is_truthy(err.message:find("4242", 1, true))
    assert.is_false(err.retryable)
  end)

  it("is kept even when the code is 0", function()
    local err = refused { raw = '{"code":0,"msg":"odd"}' }
    assert.are.equal("unknown_code", err.name)
    assert.are.equal(0, err.code)
    assert.are.equal("odd", err.server_message)
  end)

  it("is understood when the code is a string of digits", function()
    local err = refused { code = 1204, code_as_string = true }
    assert.are.equal("video_too_long", err.name)
    assert.are.equal(1204, err.code)
  end)

  it("succeeds when the code is the string 1000", function()
    local job = t.job()
    t.service:fail { at = "info", code_as_string = true }
    assert.are.equal(job.id, assert(t.client():info(job)).id)
  end)

  it("is believed before the HTTP status beside it", function()
    local err = refused { status = 403, code = 1104 }
    assert.are.equal("insufficient_credit", err.name)
    assert.are.equal(403, err.http_status)
  end)

  it("leaves the HTTP status the word when the code is not documented", function()
    local err = refused { status = 503, raw = '{"code":99,"msg":"busy"}' }
    assert.are.equal("http_server_error", err.name)
    assert.are.equal("busy", err.server_message)
  end)

  it("keeps the service's words, without the control characters in them", function()
    local err = refused { code = 1003, msg = "bad\27[31m\r\npara\0meter\127 é" }
    assert.are.equal("bad [31m  para meter  é", err.server_message)
    assert.is_nil(tostring(err):find "%c")
  end)

  it("cuts the service's words between two characters", function()
    local job = t.job()
    for _, start in ipairs { "", "x" } do
      t.service:fail { at = "info", code = 1003, msg = start .. ("é"):rep(2000) }
      local found, err = t.client():info(job)
      assert.is_nil(found)
      assert.is_true(#err.server_message > 100 and #err.server_message < 4000)
      assert.is_truthy((err.server_message:sub(#start + 1):gsub("é", "")) == "")
    end
  end)

  it("cuts the service's words when they do not end", function()
    local err = refused { code = 1003, msg = ("w"):rep(100000) }
    assert.is_true(#err.server_message > 50 and #err.server_message < 1000)
  end)

  it("drops the service's words when all of them are half a character", function()
    local err = refused { raw = ('{"code":1003,"msg":"%s"}'):format(("\169"):rep(2000)) }
    assert.are.equal(1003, err.code)
    assert.is_nil(err.server_message)
  end)

  it("takes the service's words from the field message too, and only strings", function()
    assert.are.equal("hm", refused { raw = '{"code":1003,"message":"hm"}' }.server_message)
    t.service:reset()
    assert.is_nil(refused { raw = '{"code":1003,"msg":{"a":1}}' }.server_message)
  end)
end)

describe("an answer that a gateway gave", function()
  local t = fixture.new()

  local function refused(order)
    local client = t.client { max_retries = 0 }
    order.at = "info"
    t.service:fail(order)
    local job, err = client:info(ID)
    assert.is_nil(job)
    assert.is_true(is_sentence(err.message), err.message)
    return err
  end

  for status, expected in pairs {
    [400] = { "protocol", "http_client_error", false },
    [401] = { "auth", "http_unauthorized", false },
    [403] = { "permission", "http_forbidden", false },
    [404] = { "not_found", "http_not_found", false },
    [408] = { "server", "http_server_error", true },
    [413] = { "protocol", "http_client_error", false },
    [429] = { "rate_limited", "http_rate_limited", true },
    [500] = { "server", "http_server_error", true },
    [502] = { "server", "http_server_error", true },
    [503] = { "server", "http_server_error", true },
    [504] = { "server", "http_server_error", true },
  } do
    it(("is %s/%s for the status %d"):format(expected[1], expected[2], status), function()
      local err = refused { status = status } -- with a web page
      assert.are.equal(expected[1], err.kind)
      assert.are.equal(expected[2], err.name)
      assert.are.equal(expected[3], err.retryable)
      assert.are.equal(status, err.http_status)
      assert.is_nil(err.code)
      assert.is_truthy(err.message:find(tostring(status), 1, true))
      assert.are.equal(ID, err.job.id)
    end)

    it(("is the same for the status %d without a body"):format(status), function()
      local err = refused { status = status, raw = "" }
      assert.are.equal(expected[2], err.name)
      assert.are.equal(status, err.http_status)
    end)
  end

  it("has the words of a gateway that knows no codes", function()
    for body, words in pairs {
      ['{"message":"no healthy upstream"}'] = "no healthy upstream",
      ['{"code":1000,"data":{}}'] = false, -- not a success, whatever stands in it
    } do
      local err = refused { status = 502, raw = body }
      assert.are.equal("http_server_error", err.name)
      assert.are.equal(502, err.http_status)
      assert.is_nil(err.code)
      assert.are.equal(words or nil, err.server_message)
    end
  end)

  for _, status in ipairs { 301, 302, 307, 308 } do
    it(("is refused and not followed when it is a redirect, %d"):format(status), function()
      local err = refused { status = status, redirect = t.service.url .. "/elsewhere" }
      assert.are.equal("protocol", err.kind)
      assert.are.equal("redirect_refused", err.name)
      assert.are.equal(status, err.http_status)
      assert.is_false(err.retryable)
      assert.are.equal(1, t.service:count())
    end)
  end

  it("says how long the service wants to be left alone", function()
    local err = refused { status = 503, retry_after = 7 }
    assert.are.equal(7, err.retry_after)
    assert.are.equal("http_server_error", err.name)
  end)

  it("is a web page although the status says that all is well", function()
    local err = refused { raw = "<html>sign in</html>", content_type = "text/html" }
    assert.are.equal("protocol", err.kind)
    assert.are.equal("html_answer", err.name)
    assert.are.equal(200, err.http_status)
    assert.is_true(err.retryable)
  end)

  it("is empty", function()
    for _, body in ipairs { "", " \r\n\t " } do
      local err = refused { raw = body }
      assert.are.equal("protocol", err.kind)
      assert.are.equal("empty_answer", err.name)
      assert.is_true(err.retryable)
    end
  end)

  it("is broken JSON", function()
    for _, body in ipairs { '{"code":1000,', '{"code":1000,"data":{', "{code:1000}", "OK", "{]" } do
      local err = refused { raw = body }
      assert.are.equal("protocol", err.kind)
      assert.are.equal("broken_json", err.name, body)
      assert.is_truthy(err.message:find("(Expected ", 1, true), err.message) -- as lua-cjson says it
      assert.is_true(err.retryable)
    end
    for _, body in ipairs { "7", '"text"', "true" } do
      local err = refused { raw = body }
      assert.are.equal("broken_json", err.name, body)
      assert.is_truthy(err.message:find("not a JSON object", 1, true), err.message)
    end
  end)

  it("is JSON, but not an object", function()
    for _, body in ipairs { "[]", "[1000]", "1000", "true", "null", '"1000"' } do
      assert.are.equal("protocol", refused({ raw = body }).kind, body)
    end
  end)

  it("is larger than 1 MiB", function()
    local err = refused { raw = '{"code":1000,"data":{}}', oversize = 1100000 }
    assert.are.equal("unexpected_answer", err.name) -- `raw` is not padded: this one was read
    local job = t.job()
    t.service:fail { at = "info", oversize = 1100000 }
    local found, why = t.client({ max_retries = 0 }):info(job)
    assert.is_nil(found)
    assert.are.equal("protocol", why.kind)
    assert.are.equal("answer_too_large", why.name)
    t.service:fail { at = "info", oversize = 1000000 }
    assert.are.equal(job.id, assert(t.client():info(job)).id)
  end)

  it("is nested too deep", function()
    local job = t.job()
    t.service:fail { at = "info", depth = 1000 }
    local found, err = t.client({ max_retries = 0 }):info(job)
    assert.is_nil(found)
    assert.are.equal("protocol", err.kind)
    t.service:fail { at = "info", depth = 20 }
    assert.are.equal(job.id, assert(t.client():info(job)).id)
  end)
end)

describe("lipsync.explain", function()
  it("says of every code what it means and what to do", function()
    for code, kind in pairs(DOCUMENTED) do
      local known = assert(lipsync.explain(code))
      assert.are.equal(code, known.code)
      assert.are.equal(kind, known.kind)
      assert.are.equal(RETRYABLE[code] or false, known.retryable)
      assert.is_string(known.name)
      assert.is_true(is_sentence(known.message))
      assert.are.same(known, lipsync.explain(tostring(code)))
    end
  end)

  it("says the same as the error of a call", function()
    assert.are.equal("The video is longer than 60 s. Cut it into pieces of at most 60 s.",
      lipsync.explain(1204).message)
  end)

  it("says of a code that is not documented that it is not", function()
    for _, code in ipairs { 4242, "4242", 0, -1, 1000, 1204.5, 1e300, 0 / 0, math.huge } do
      local known, err = lipsync.explain(code)
      assert.is_nil(known)
      assert.are.equal("unknown_code", err.name)
      assert.are.equal("server", err.kind)
    end
  end)

  it("raises at the caller's line for what is no code", function()
    for _, value in ipairs { {}, true, "video_too_long", "", print } do
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, why = pcall(function() local _ = lipsync.explain(value) end)
      assert.is_false(ok)
      assert.is_truthy(why:find("errors_spec.lua:" .. line .. ": explain:", 1, true), why)
    end
    assert.is_false((pcall(lipsync.explain, nil)))
  end)
end)

describe("an error", function()
  local t = fixture.new()

  local function some_error()
    t.service:fail { at = "info", code = 1204 }
    return select(2, t.client():info(ID))
  end

  local TEXT = "media/video_too_long (code 1204): The video is longer than 60 s. "
    .. "Cut it into pieces of at most 60 s. (The service: \"mock error 1204\") [job " .. ID .. "]"

  it("prints as a sentence with its kind, name, code and job", function()
    assert.are.equal(TEXT, tostring(some_error()))
  end)

  it("prints its HTTP status when there is no code", function()
    t.service:fail { at = "info", status = 404 }
    local _, err = t.client():info(ID)
    assert.is_truthy(tostring(err):find("^not_found/http_not_found %(HTTP 404%): "))
  end)

  it("keeps a code that nobody knows, also beside an HTTP error", function()
    t.service:fail { at = "info", status = 400, code = 4321, msg = "weird" }
    local _, err = t.client():info(ID)
    assert.are.equal(4321, err.code)
    assert.are.equal(400, err.http_status)
    assert.are.equal("weird", err.server_message)
  end)

  it("can be put together with strings, on both sides", function()
    local err = some_error()
    assert.are.equal("sorry: " .. TEXT, "sorry: " .. err)
    assert.are.equal(TEXT .. "!", err .. "!")
    assert.are.equal(TEXT .. TEXT, err .. err)
    assert.are.equal("1" .. TEXT, 1 .. err)
  end)

  it("prints whatever a program did to its fields", function()
    local err = some_error()
    err.message, err.code, err.job, err.kind = nil, {}, "x", false
    assert.is_string(tostring(err))
    for name in pairs(err) do err[name] = nil end
    err.job = { id = false }
    assert.are.equal("?/?: no message", tostring(err))
  end)

  it("comes out of assert as itself", function()
    local err = some_error()
    local ok, raised = pcall(lipsync.assert, nil, err)
    assert.is_false(ok)
    assert.are.equal(err, raised)
    ok, raised = pcall(plain_assert, nil, err)
    assert.is_false(ok)
    if _VERSION == "Lua 5.2" or _VERSION == "Lua 5.1" and not jit then
      assert.is_truthy(raised:find("string expected, got table", 1, true), raised)
    else
      assert.are.equal(err, raised)
    end
  end)

  it("does not come out of assert when there is none", function()
    assert.are.same({ 1, nil, 3, n = 3 }, { n = select("#", lipsync.assert(1, nil, 3)),
      lipsync.assert(1, nil, 3) })
    assert.has_error(function() lipsync.assert(false) end, "assertion failed!")
    assert.has_error(function() lipsync.assert(nil, "plain") end, "plain")
  end)
end)

describe("a job that does not end well", function()
  local t = fixture.new()

  it("is an error of client:wait that carries the job and the service's words", function()
    local client = t.client()
    local job = t.job(client)
    t.service:set(job.id, { video_status = 4, error_msg = "no face found", error_code = 17 })
    local done, err = client:wait(job)
    assert.is_nil(done)
    assert.are.equal("failed", err.kind)
    assert.are.equal("job_failed", err.name)
    assert.is_false(err.retryable)
    assert.are.equal("no face found", err.server_message)
    assert.are.equal(job.id, err.job.id)
    assert.are.equal("failed", err.job.status)
    assert.are.equal(17, err.job.data.error_code)
    assert.are.equal("failed", assert(err.job:info()).status) -- a whole job, with its methods
    assert.is_true(is_sentence(err.message))
    assert.is_truthy(err.message:find(job.id, 1, true))
  end)

  it("has words that are safe to print", function()
    local client = t.client()
    local job = t.job(client)
    t.service:set(job.id, { video_status = 4, error_msg = "no\27[31m\nface" })
    local _, err = client:wait(job)
    assert.are.equal("no [31m face", err.server_message)
    assert.are.equal("no\27[31m\nface", err.job.data.error_msg)
  end)

  it("has no words when the service's are not a string, or an empty one", function()
    local client = t.client()
    for _, words in ipairs { { reason = 7 }, "" } do
      local job = t.job(client)
      t.service:set(job.id, { video_status = 4, error_msg = words })
      local _, err = client:wait(job)
      assert.are.equal("job_failed", err.name)
      assert.is_nil(err.server_message)
      assert.are.same(words, err.job.data.error_msg)
    end
  end)

  it("is an error of its own when it is completed without a URL", function()
    local client = t.client { max_retries = 0 }
    local job = t.job(client)
    t.service:set(job.id, { video_status = 3, video = "" })
    for _, call in ipairs { "info", "wait" } do
      local found, err = client[call](client, job)
      assert.is_nil(found)
      assert.are.equal("protocol", err.kind)
      assert.are.equal("completed_without_url", err.name)
      assert.are.equal(job.id, err.job.id)
      assert.is_true(err.retryable)
    end
  end)

  it("goes on when client:wait runs out, and can be waited for again", function()
    local client = t.client()
    local job = t.job(client)
    local done, err = client:wait(job, { wait_timeout = 0.2 })
    assert.is_nil(done)
    assert.are.equal("timeout", err.kind)
    assert.are.equal("wait_timeout", err.name)
    assert.is_true(err.retryable)
    assert.are.equal(job.id, err.job.id)
    assert.is_truthy(err.message:find("goes on", 1, true))
    assert.is_truthy(err.message:find("queueing", 1, true)) -- the last that was seen
    t.service:advance(60)
    assert.are.equal("completed", assert(client:wait(err.job)).status)
  end)
end)

describe("a call that does not get through", function()
  local t = fixture.new()

  local function fails(client, opts)
    opts = opts or {}
    opts.max_retries = 0
    local job, err = client:info(ID, opts)
    assert.is_nil(job)
    assert.is_true(err.retryable)
    assert.is_nil(err.http_status)
    assert.is_nil(err.code)
    assert.are.equal(ID, err.job.id)
    return err
  end

  it("says that no answer came", function()
    t.service:fail { at = "info", stall = "after" }
    local err = fails(t.client(), { timeout = 0.2 })
    assert.are.equal("timeout", err.kind)
    assert.are.equal("answer_timeout", err.name)
    assert.is_truthy(err.message:find("did not come", 1, true))
  end)

  it("says that an answer began but did not end", function()
    local job = t.job()
    t.service:fail { at = "info", stall_at = 300 }
    local found, err = t.client():info(job, { timeout = 0.2, max_retries = 0 })
    assert.is_nil(found)
    assert.are.equal("timeout", err.kind)
    assert.are.equal("answer_timeout", err.name)
    assert.is_truthy(err.message:find("began but did not end", 1, true))
  end)

  it("says that no connection came up", function()
    local server = silent.listen(1)
    for _ = 1, 8 do server:connect() end -- the queue is full: the system drops who comes now
    local url = "http://127.0.0.1:" .. server.port
    local client = t.client { base_url = url, connect_timeout = 0.2 }
    local err = fails(client)
    server:close()
    assert.are.equal("timeout", err.kind)
    assert.are.equal("connect_timeout", err.name)
    assert.is_truthy(err.message:find("connect_timeout", 1, true))
  end)

  it("says that the TLS handshake did not end", function()
    local server = silent.listen(16)
    local url = "https://127.0.0.1:" .. server.port
    local client = t.client { base_url = url, connect_timeout = 1 } -- time to read the CA bundle
    local err = fails(client)
    server:close()
    assert.are.equal("timeout", err.kind)
    assert.are.equal("tls_timeout", err.name)
  end)

  it("says that the connection was refused", function()
    local client = t.client()
    t.service:down()
    local err = fails(client)
    local made, why = client:create({ video_url = t.video, audio_url = t.audio },
      { max_retries = 0 })
    t.service:up()
    assert.are.equal("network", err.kind)
    assert.are.equal("connection_refused", err.name)
    assert.is_nil(made)
    assert.are.equal("connection_refused", why.name)
    assert.is_false(why.maybe_created)
  end)

  it("says that the host's name was not found", function()
    local client = t.client { base_url = "https://does-not-exist.invalid", proxy = false,
      connect_timeout = 0.5 }
    local err = fails(client)
    if err.kind == "timeout" then -- there is no name server to ask
      assert.are.equal("resolve_timeout", err.name)
    else
      assert.are.equal("network", err.kind)
      assert.are.equal("host_not_found", err.name)
    end
  end)

  it("says that the connection broke", function()
    t.service:fail { at = "info", reset = "after" }
    local err = fails(t.client())
    assert.are.equal("network", err.kind)
    assert.are.equal("connection_lost", err.name)
  end)

  it("says that the answer was cut short", function()
    local job = t.job()
    t.service:fail { at = "info", cut = 300 }
    local found, err = t.client():info(job, { max_retries = 0 })
    assert.is_nil(found)
    assert.are.equal("network", err.kind)
    assert.are.equal("answer_cut_short", err.name)
  end)
end)
