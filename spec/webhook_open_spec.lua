-- webhook.open, seal, seen and handler: deliveries that two other libraries sealed (spec/vectors) are
-- opened, whatever is wrong with one gives the same error, and nothing but the last word tells a
-- failure from another: no message, no step that is left out.

local cjson = require "cjson"
local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local webhook = require "akool.lipsync.webhook"

local vectors = cjson.decode(fixture.read "spec/vectors/webhook.json")

local ID = "66160f989dfc997ac289037b"
local CLIENT = vectors.credentials

--- Options of a call: those credentials, any age, and what is given.
local function options(more)
  local all = { client_id = CLIENT.client_id, client_secret = CLIENT.client_secret, tolerance = 0 }
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

local function event(more)
  local all = { id = ID, status = "completed", video = "https://example.com/out.mp4" }
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

--- A body around something sealed, signed as it should be.
local function body(signature, sealed, timestamp, nonce)
  return ('{"signature":"%s","dataEncrypt":"%s","timestamp":%s,"nonce":"%s"}'):format(signature,
    sealed, timestamp or "1710757981609", nonce or "1529")
end

--- A body with any text in it, well sealed.
local function sealed(text)
  return body(core.seal_delivery(CLIENT.client_id, CLIENT.client_secret, "1710757981609", "1529",
    text))
end

--- Everything about an error that a program can see.
local function face(err)
  local parts = { tostring(err) }
  for name, value in pairs(err) do parts[#parts + 1] = ("%s=%s"):format(name, tostring(value)) end
  table.sort(parts)
  return table.concat(parts, "\n")
end

local REFUSED = face(select(2, webhook.open("", options())))

local function assert_refused(text, opts, name)
  local found, err = webhook.open(text, opts or options())
  assert.is_nil(found, name)
  assert.equal(REFUSED, face(err), name)
end

local function with_credentials(vector, more)
  local all = options(more)
  all.client_id = vector.client_id or all.client_id
  all.client_secret = vector.client_secret or all.client_secret
  return all
end

describe("a delivery that the service could have sent", function()
  for _, vector in ipairs(vectors.good) do
    it("is opened: " .. vector.name, function()
      local found = assert(webhook.open(vector.body, with_credentials(vector)))
      local expected = vector.event
      assert.same(expected, { id = found.id, status = found.status, video = found.video,
        type = found.type, sent_at = found.sent_at, data = found.data })
      assert.equal(expected.id, found:job().id)
    end)
  end

  it("tells numbers as a program expects them, on every Lua", function()
    local text = sealed('{"_id":"a","status":3,"n":[1,-2,9007199254740991,0.5],"none":null}')
    local found = assert(webhook.open(text, options()))
    assert.equal("1710757981.609", tostring(found.sent_at))
    assert.equal("3", tostring(found.data.status))
    assert.equal("1 -2 0.5", table.concat({ tostring(found.data.n[1]), tostring(found.data.n[2]),
      tostring(found.data.n[4]) }, " "))
    assert.is_nil(found.data.none)
    local whole = assert(webhook.seal(event(), options { timestamp = 1710757981000 }))
    assert.equal("1710757981", tostring(assert(webhook.open(whole, options())).sent_at))
  end)

  it("gives a job, as data", function()
    local found = assert(webhook.open(assert(webhook.seal(event(), options())), options()))
    assert.same({ id = ID, status = "completed", video = "https://example.com/out.mp4",
      data = found.data }, found:job())
    assert.equal("akool.lipsync.webhook_event (" .. ID .. ", completed)", tostring(found))
  end)
end)

describe("the job of a delivery", function()
  local t = fixture.new()

  --- What the service would deliver about a job.
  local function delivered(job, more)
    local said = event { id = job.id, video = job.video }
    for name, value in pairs(more or {}) do said[name] = value end
    return assert(webhook.open(assert(webhook.seal(said, options())), options()))
  end

  it("can be downloaded without another request", function()
    local client = t.client()
    local job = t.completed(client)
    local asked = t.service:count "info"
    local file = assert(client:download(delivered(job):job(), t.path "out.mp4"))
    assert.truthy(file.bytes > 0)
    assert.equal(asked, t.service:count "info")
  end)

  it("is asked for when the delivery said too little", function()
    local client = t.client()
    local job = t.completed(client)
    for i, more in ipairs { { status = "processing" }, { video = "" } } do
      assert(client:download(delivered(job, more):job(), t.path(i .. ".mp4")))
    end
    local early = delivered(job, { status = "queueing" })
    assert.equal("completed", assert(client:wait(early:job())).status)
  end)
end)

describe("a delivery that is wrong", function()
  it("is refused with the same error, whatever is wrong", function()
    assert.truthy(REFUSED:find("kind=auth", 1, true))
    assert.truthy(REFUSED:find("name=webhook_refused", 1, true))
    assert.truthy(#vectors.bad >= 300)
    for _, vector in ipairs(vectors.bad) do
      assert_refused(vector.body, with_credentials(vector), vector.name)
    end
  end)

  it("is refused when it is not text, or more than anybody sends", function()
    local good = assert(webhook.seal(event(), options()))
    assert(webhook.open(good, options()))
    local function more(json) return good:sub(1, -2) .. ',"a":' .. json .. "}" end
    for _, piece in ipairs { "\0", "\255", "\192\175", "\237\160\128", "\244\144\128\128",
      "\195" } do
      assert_refused(good .. piece)
      assert_refused(piece .. good)
      assert_refused(more('"' .. piece .. '"'))
    end
    assert(webhook.open(good .. (" "):rep(60000), options()))
    assert_refused(good .. (" "):rep(65536))
    assert_refused(("["):rep(60000))
    assert(webhook.open(more '"\\ud83d\\ude00"', options()))
    assert_refused(more '"\\ud800"')
    assert_refused(more(("["):rep(100) .. ("]"):rep(100)))
    assert_refused(more "1e400")
  end)

  it("is refused when the text inside is none, or none that can be read", function()
    local function inside(more) return sealed('{"_id":"a","status":3' .. more .. "}") end
    assert(webhook.open(inside "", options()))
    for _, more in ipairs { ',"a":1e400', ',"a":"\\ud800"', ',"a":"\\udc00"', ',"a":"\0"',
      ',"a":"\27[0m"', ',"a":' .. ("["):rep(100) .. ("]"):rep(100), ("}"):rep(1000) } do
      assert_refused(inside(more))
    end
    for byte = 128, 255 do assert_refused(inside(',"a":"' .. string.char(byte) .. '"')) end
  end)

  it("is refused wherever a bit of its text is another, signed or not", function()
    local good = assert(webhook.seal(event(), options()))
    for i = 1, #good do
      local c = good:byte(i)
      local other = string.char(c % 2 == 0 and c + 1 or c - 1)
      assert_refused(good:sub(1, i - 1) .. other .. good:sub(i + 1), nil, i)
    end
  end)

  it("does not show what it was opened with", function()
    local function assert_clean(value)
      for _, secret in pairs(CLIENT) do
        assert.is_nil(tostring(value):find(secret, 1, true))
      end
    end
    assert_clean(REFUSED)
    for size = 0, 40 do
      local secret = CLIENT.client_secret:rep(2):sub(1, size)
      local _, err = webhook.open("", options { client_secret = secret })
      if size >= 8 then assert.is_nil(face(err):find(secret:sub(1, 8), 1, true)) end
    end
    for _, name in ipairs { "tolerance", "seen", "nonce" } do
      assert_clean(select(2, pcall(webhook.open, "", options { [name] = "x" })))
    end
    assert_clean(select(2, pcall(core.open_delivery, CLIENT.client_id, CLIENT.client_secret .. "x",
      "1", "2", "3", "4")))
  end)
end)

describe("a delivery's text", function()
  it("is sealed whatever it is, and opened, up to a length that no event has", function()
    local id, secret = CLIENT.client_id, CLIENT.client_secret
    for _, text in ipairs { "", "x", ("x"):rep(32 * 1024) } do
      local signature, blocks = core.seal_delivery(id, secret, "1", "2", text)
      local fine, opened = core.open_delivery(id, secret, "1", "2", signature, blocks)
      assert.is_true(fine)
      assert.equal(text, opened)
    end
    assert.has_error(function() core.seal_delivery(id, secret, "1", "2", ("x"):rep(32769)) end)
    assert.has_error(function() core.open_delivery(id, secret, "1", "2", "", ("x"):rep(65537)) end)
  end)
end)

describe("credentials for webhooks", function()
  it("have to be there, and fit for a key: that error helps", function()
    local _, err = webhook.open("", options { client_secret = ("x"):rep(20) })
    assert.equal("invalid/webhook_credentials", err.kind .. "/" .. err.name)
    assert.truthy(err.message:find("has 20 bytes", 1, true))
    assert.truthy(err.message:find("16, 24 or 32", 1, true))
    for size = 0, 40 do
      local _, problem = webhook.open("", options { client_secret = ("x"):rep(size) })
      local fits = size == 16 or size == 24 or size == 32
      assert.equal(fits and "webhook_refused" or "webhook_credentials", problem.name, size)
    end
    local _, empty = webhook.open("", options { client_id = "" })
    assert.truthy(empty.message:find("no client id", 1, true))
    for _, name in ipairs { "seal", "handler" } do
      local first = name == "seal" and event() or options { client_secret = "x" }
      local done, problem = webhook[name](first, options { client_secret = "x" })
      assert.is_nil(done)
      assert.equal("webhook_credentials", problem.name)
    end
  end)

  it("come from the environment where none are given", function()
    local text = assert(webhook.seal(event(), options()))
    local said, status = child.run(([[
      local webhook = require "akool.lipsync.webhook"
      print(webhook.open(%q, { tolerance = 0 }))
    ]]):format(text), { environment = { AKOOL_CLIENT_ID = CLIENT.client_id,
      AKOOL_CLIENT_SECRET = CLIENT.client_secret } })
    assert.equal(0, status, said)
    assert.truthy(said:find(ID, 1, true), said)
    said = child.run([[
      local webhook = require "akool.lipsync.webhook"
      print(select(2, webhook.open "x"))
    ]], { environment = { AKOOL_CLIENT_ID = CLIENT.client_id, AKOOL_CLIENT_SECRET = "" } })
    assert.truthy(said:find("no client secret", 1, true), said)
  end)
end)

describe("misuse", function()
  local function assert_raises(what, f, ...)
    local fine, why = pcall(f, ...)
    assert.is_false(fine, what)
    assert.truthy(why:find(what, 1, true), why)
    assert.truthy(why:find("webhook_open_spec.lua:", 1, true), why)
  end

  -- Through a function of this file, so that there is a line to blame.
  local function call(name, ...)
    local first, second = webhook[name](...)
    return first, second
  end

  it("raises, at the line of the caller", function()
    assert_raises("the body as a string expected, got nil", call, "open", nil, options())
    assert_raises("the body as a string expected, got table", call, "open", {}, options())
    assert_raises("a table of options expected, got string", call, "open", "", "x")
    assert_raises('did you mean "client_id"?', call, "open", "", { clientid = "x" })
    assert_raises("client_secret: a string expected, got number", call, "open", "",
      { client_secret = 1 })
    for _, tolerance in ipairs { -1, 1 / 0, 0 / 0 } do
      assert_raises("tolerance: seconds expected", call, "open", "",
        options { tolerance = tolerance })
    end
    assert_raises("seen: something like", call, "handler", options { seen = 1 })
    assert_raises("how many deliveries", call, "seen", 0)
    assert_raises("how many deliveries", call, "seen", 0 / 0)
    assert_raises("an event as a table expected", call, "seal", "x", options())
    for what, wrong in pairs {
      ["event.id: a string expected, got number"] = { id = 1 },
      ["event.video: a string expected, got boolean"] = { video = true },
      ["event.status should be one of"] = { status = "done" },
      ["the event is too long"] = { video = ("x"):rep(1e6) },
    } do
      assert_raises(what, call, "seal", event(wrong), options())
    end
    for _, timestamp in ipairs { -1, 0.5, 1e16, 1 / 0, 0 / 0 } do
      assert_raises("milliseconds expected", call, "seal", event(),
        options { timestamp = timestamp })
    end
    for _, nonce in ipairs { true, {}, 1.5, -1, ("x"):rep(1e6) } do
      assert_raises("a string or a whole number expected", call, "seal", event(),
        options { nonce = nonce })
    end
  end)
end)

describe("webhook.seal", function()
  it("makes what the service makes", function()
    for _, vector in ipairs(vectors.good) do
      local written = cjson.decode(vector.body)
      local more = vector.event
      if vector.name:find("^node: an id of") then
        local text = webhook.seal(more, with_credentials(vector, { nonce = written.nonce,
          timestamp = written.timestamp }))
        local found = assert(webhook.open(text, with_credentials(vector)))
        assert.same({ more.id, more.video, more.sent_at }, { found.id, found.video, found.sent_at })
      end
    end
    local text = assert(webhook.seal(event(), options { nonce = 7, timestamp = 1710757981609 }))
    assert.truthy(text:find('"timestamp":1710757981609,"nonce":7}', 1, true), text)
    text = assert(webhook.seal(event(), options { nonce = "007", timestamp = 5 }))
    assert.truthy(text:find('"timestamp":5,"nonce":"007"}', 1, true), text)
  end)

  it("makes what can be opened, of any event", function()
    local strings = { "", "0", '"\\', "ü口😀", ("x"):rep(1000), "\0\1\31", "a/b" }
    for _, status in ipairs { "queueing", "processing", "completed", "failed" } do
      for _, nonce in ipairs(strings) do
        local text = assert(webhook.seal(event { status = status, type = "lip sync" },
          options { nonce = nonce }))
        local found = assert(webhook.open(text, options { tolerance = 60 }))
        assert.equal(status, found.status)
        assert.equal("lip sync", found.type)
        assert.equal(status == "completed", found.video ~= nil)
      end
    end
  end)
end)

describe("the age of a delivery", function()
  --- Sealed so many seconds ago.
  local function aged(seconds)
    return assert(webhook.seal(event(), options { timestamp = (os.time() - seconds) * 1000 }))
  end

  it("may be five minutes either way, if nothing else is said", function()
    local opts = { client_id = CLIENT.client_id, client_secret = CLIENT.client_secret }
    for _, seconds in ipairs { 0, 280, -280 } do assert(webhook.open(aged(seconds), opts)) end
    for _, seconds in ipairs { 320, -320, 86400, os.time() } do
      assert_refused(aged(seconds), opts)
    end
  end)

  it("may be what the option says, and any with 0", function()
    for _, seconds in ipairs { 20, -20, 86400, -86400 } do
      assert(webhook.open(aged(seconds), options()))
      assert(webhook.open(aged(seconds), options { tolerance = math.abs(seconds) + 20 }))
      assert_refused(aged(seconds), options { tolerance = math.abs(seconds) - 10 })
    end
  end)
end)

describe("webhook.seen", function()
  it("has a delivery refused that came before, by an error of its own", function()
    local opts = options { seen = webhook.seen() }
    local text = assert(webhook.seal(event(), options()))
    assert(webhook.open(text, opts))
    local found, err = webhook.open(text, opts)
    assert.is_nil(found)
    assert.equal("duplicate/webhook_repeated", err.kind .. "/" .. err.name)
    assert.equal(ID, err.job.id)
    assert.equal("completed", err.job.status)
    assert(webhook.open(assert(webhook.seal(event { status = "processing" }, options())), opts))
  end)

  it("knows a delivery that was signed anew, for which the client id is enough", function()
    local opts = options { seen = webhook.seen() }
    for nonce = 1, 3 do
      local text = assert(webhook.seal(event(), options { nonce = nonce, timestamp = nonce }))
      assert.equal(nonce == 1, (webhook.open(text, opts)) ~= nil)
    end
  end)

  it("is not told of a delivery that is refused", function()
    local told = 0
    local memory = { add = function() told = told + 1 return true end }
    for _, vector in ipairs(vectors.bad) do
      webhook.open(vector.body, with_credentials(vector, { seen = memory }))
    end
    assert.equal(0, told)
  end)

  it("may be something of the program's, which is asked to remember twice the tolerance", function()
    local asked = {}
    local memory = { add = function(_, key, seconds)
      asked[#asked + 1] = { key, seconds }
      return #asked == 1
    end }
    local text = assert(webhook.seal(event(), options()))
    assert(webhook.open(text, options { seen = memory, tolerance = 100 }))
    local _, err = webhook.open(text, options { seen = memory })
    assert.equal("webhook_repeated", err.name)
    assert.same({ 200, 0 }, { asked[1][2], asked[2][2] })
    assert.equal(asked[1][1], asked[2][1])
    assert.truthy(asked[1][1]:find "^%x+$")
    assert.equal(64, #asked[1][1])
  end)

  it("remembers the last half of what it has room for, and never more than all", function()
    local memory = webhook.seen(10)
    for i = 1, 1000 do
      assert.is_true(memory:add("key" .. i, 60))
      for j = math.max(1, i - 4), i do assert.is_false(memory:add("key" .. j, 60)) end
    end
    local kept = 0
    for i = 1, 1000 do if not memory:add("key" .. i, 60) then kept = kept + 1 end end
    assert.truthy(kept <= 10)
    for capacity = 1, 3 do
      local small = webhook.seen(capacity)
      assert.is_true(small:add("a", 0))
      assert.is_false(small:add("a", 0))
    end
  end)

  it("forgets after the time", function()
    local memory = webhook.seen()
    assert.is_true(memory:add("key", 1e-9))
    assert.is_true(memory:add("key", 60))
    assert.is_false(memory:add("key", 60))
  end)
end)

describe("webhook.handler", function()
  it("says what to answer", function()
    local handle = assert(webhook.handler(options()))
    local text = assert(webhook.seal(event(), options()))
    local status, found = handle(text)
    assert.equal(200, status)
    assert.equal(ID, found.id)
    local again, err = handle(text)
    assert.equal(200, again)
    assert.equal("webhook_repeated", err.name)
    for _, wrong in ipairs { "", "{}", text .. "x", (text:gsub("nonce", "once")) } do
      local answer, refused = handle(wrong)
      assert.equal(400, answer)
      assert.equal(REFUSED, face(refused))
    end
    assert.equal(400, (handle(nil))) -- a request without a body
  end)

  it("keeps to the options it was given", function()
    local opts = options { tolerance = 100, seen = webhook.seen() }
    local handle = assert(webhook.handler(opts))
    local old = assert(webhook.seal(event(), options { timestamp = 1 }))
    opts.tolerance, opts.client_secret = 0, "x"
    assert.equal(400, (handle(old)))
    assert.equal(200, (handle((assert(webhook.seal(event(), options()))))))
    local _, err = webhook.open(assert(webhook.seal(event(), options())),
      options { seen = opts.seen })
    assert.equal("webhook_repeated", err.name)
  end)
end)

describe("what a refusal takes", function()
  local jit = rawget(_G, "jit")
  local TIME, NONCE = "1710757981609", "1529"

  --- Bodies of one length in which something is wrong; the first has nothing wrong outside its text.
  local function wrong_bodies(text)
    local signature, blocks = core.seal_delivery(CLIENT.client_id, CLIENT.client_secret, TIME,
      NONCE, text)
    local digit = signature:sub(40) == "0" and "1" or "0"
    local stranger = core.seal_delivery("another id", CLIENT.client_secret, TIME, NONCE, text)
    return {
      { "the text", body(signature, blocks) },
      { "the signature", body(digit:rep(40), blocks) },
      { "the last digit of the signature", body(signature:sub(1, 39) .. digit, blocks) },
      { "the letters of the signature", body(("G"):rep(40), blocks) },
      { "the client id", body(stranger, blocks) },
    }
  end

  --- The same of noise, which comes with padding that is wrong, too.
  local function noisy_bodies()
    local noise
    for _, vector in ipairs(vectors.bad) do
      if vector.name == "signed, but noise of 5 blocks" then noise = vector.body end
    end
    local bodies = wrong_bodies(("?"):rep(5 * 16 - 1))
    table.insert(bodies, { "the padding", noise })
    table.insert(bodies, { "the base64", (bodies[1][2]:gsub('Encrypt":".', 'Encrypt":"*')) })
    for _, each in ipairs(bodies) do assert.equal(#noise, #each[2], each[1]) end
    return bodies
  end

  --- The functions that are called while a body is opened, and how many instructions Lua carries out.
  local function steps(text, opts)
    local count, calls = 0, {}
    if jit then jit.off() jit.flush() end
    debug.sethook(function(what)
      if what == "count" then count = count + 1 return end
      local info = debug.getinfo(2, "S")
      calls[#calls + 1] = ("%s:%d"):format(info.short_src, info.linedefined)
    end, "c", 1)
    local found = webhook.open(text, opts)
    debug.sethook()
    if jit then jit.on() end
    assert.is_nil(found)
    return count, calls
  end

  local function assert_same_steps(bodies, opts)
    local count, calls = steps(bodies[1][2], opts)
    assert.truthy(count > 100 and #calls > 10)
    for _, each in ipairs(bodies) do
      local its_count, its_calls = steps(each[2], opts)
      assert.same(calls, its_calls, each[1])
      assert.equal(count, its_count, each[1])
    end
  end

  it("is the same in Lua, whatever is wrong with noise", function()
    assert_same_steps(noisy_bodies(), options())
  end)

  it("is the same in Lua, whatever is wrong around a good text", function()
    local text = ('{"_id":"%s","status":4,"type":"lipsync","url":""}'):format(ID)
    local bodies = wrong_bodies(text)
    assert(webhook.open(table.remove(bodies, 1)[2], options()))
    assert_same_steps(bodies, options())
  end)

  -- In C only what everybody can see makes a difference, such as the letters of the base64. Where malloc
  -- finds room depends on what was before, so each is opened after many others and the least counts.
  -- Without a step it would be some hundred instructions less, or some thousand.
  local SLACK, TIMES = 100, 16

  --- `TIMES` times all numbers up to `count`, each time in another order.
  local function shuffled(count)
    local order, seed = {}, 1
    for time = 0, TIMES - 1 do
      for i = 1, count do
        seed = (seed * 1103 + 12345) % 65536
        local at = time * count + 1 + seed % i
        order[time * count + i] = order[at]
        order[at] = i
      end
    end
    return order
  end

  it("is as much in C", function()
    if os.getenv "AKL_MODULE" then
      return pending "what counts is the module as it is used, not one that is built for a proof"
    end
    local pipe = io.popen "command -v valgrind"
    local installed = pipe:read "*a" ~= ""
    pipe:close()
    if not installed then return pending "valgrind is not installed" end
    local bodies, listed, counts = {}, {}, os.tmpname()
    for _, each in ipairs(noisy_bodies()) do
      if each[1] ~= "the base64" then
        bodies[#bodies + 1] = each
        listed[#bodies] = ("%q"):format(each[2])
      end
    end
    local order = shuffled(#bodies)
    local said, status = child.run(([[
      local webhook = require "akool.lipsync.webhook"
      local opts = { client_id = %q, client_secret = %q, tolerance = 0 }
      local bodies = { %s }
      for _, which in ipairs { %s } do webhook.open(bodies[which], opts) end
    ]]):format(CLIENT.client_id, CLIENT.client_secret, table.concat(listed, ", "),
      table.concat(order, ", ")), {
      prefix = ("valgrind --quiet --tool=callgrind --callgrind-out-file='%s' "
        .. "--toggle-collect=akl_delivery_open --dump-after=akl_delivery_open"):format(counts) })
    assert.equal(0, status, said)
    local instructions = {}
    for i, which in ipairs(order) do
      local path = ("%s.%d"):format(counts, i)
      local count = tonumber(fixture.read(path):match "\ntotals: (%d+)")
      instructions[which] = math.min(instructions[which] or count, count)
      os.remove(path)
    end
    os.remove(counts)
    assert.truthy(instructions[1] > 1000)
    for i, each in ipairs(bodies) do
      local more = instructions[i] - instructions[1]
      assert.is_true(math.abs(more) <= SLACK, ("%s: %d instructions more"):format(each[1], more))
    end
  end)
end)
