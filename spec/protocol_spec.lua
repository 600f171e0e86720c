-- protocol: an answer is checked before it is believed. A field that is missing or not what it has
-- to be is an error that names it; a job comes whole or not at all, and its numbers are sound.

local cjson = require "cjson"
local fixture = require "support.fixture"

local unpack = table.unpack or unpack -- luacheck: ignore 143 (Lua 5.1)

local ID = "66160f989dfc997ac289037b"
local OTHER = "66160f989dfc997ac289037c"

-- The data of a good answer, as the bytes of its fields.
local FIELDS = {
  { "create_time", "1712720702523" }, { "uid", "100002" }, { "type", "9" }, { "from", "2" },
  { "faceswap_quality", "2" }, { "video_id", '"8ddc4a27-d173-4cf5-aa37-13e340fed8f3"' },
  { "video_status", "2" }, { "video_lock_duration", "11.7" }, { "deduction_lock_duration", "20" },
  { "external_video", '""' }, { "video", '""' }, { "storage_loc", "1" },
  { "_id", '"' .. ID .. '"' },
}

--- The bytes of an answer's data, with some fields changed; false leaves one out, a new one comes
--- last.
local function data_with(changes)
  local parts, known = {}, {}
  for _, field in ipairs(FIELDS) do
    local name, value = field[1], field[2]
    known[name] = true
    if changes[name] ~= nil then value = changes[name] end
    if value then parts[#parts + 1] = ('"%s":%s'):format(name, value) end
  end
  for name, value in pairs(changes) do
    if not known[name] then parts[#parts + 1] = ('"%s":%s'):format(name, value) end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function answer_with(changes)
  return '{"code":1000,"msg":"OK","data":' .. data_with(changes) .. "}"
end

local function quoted(text)
  return cjson.encode(text)
end

-- Values of every JSON type but the ones left out.
local function any_but(...)
  local all = { null = "null", string = '"12"', empty = '""', number = "12", boolean = "true",
    no = "false", array = "[]", list = "[1,2]", object = "{}" }
  for _, kind in ipairs { ... } do all[kind] = nil end
  local values = {}
  for _, value in pairs(all) do values[#values + 1] = value end
  table.sort(values)
  return values
end

local function add(list, ...)
  for _, value in ipairs { ... } do list[#list + 1] = value end
  return list
end

local BAD_IDS = { quoted "", quoted "a/b", quoted "../up", quoted "a\nb", quoted "a b",
  quoted "a?b=c", quoted "a%2fb", quoted "\0", quoted "é", quoted(("a"):rep(129)) }
local BAD_URLS = { quoted "video.mp4", quoted "/results/video.mp4", quoted "//host/video.mp4",
  quoted "http://host/a b.mp4", quoted "http://host/a\nb.mp4", quoted "http://host/a\0b.mp4",
  quoted "file:///etc/passwd", quoted "ftp://host/video.mp4", quoted "javascript:alert(1)",
  quoted "http://user:password@host/video.mp4", quoted "https://user@host/video.mp4",
  quoted "http://", quoted("http://host/" .. ("v"):rep(9000)) }

-- What each field of a job cannot be; false stands for missing.
local CHECKED = { "_id", "video_status", "video", "create_time", "video_lock_duration",
  "deduction_lock_duration" }
local NO_JOB = {
  _id = add(any_but("string"), false, unpack(BAD_IDS)),
  video_status = add(any_but("number"), false, "2.5", "-1", "0", "5", "7", "1e15", "1e400",
    "-1e400", "1e-9"),
  video = add(any_but("empty", "null"), unpack(BAD_URLS)),
  create_time = add(any_but("number", "null"), "-1", "1e15", "1e400", "-1e400"),
  video_lock_duration = add(any_but("number", "null"), "1e400", "-1e400"),
  deduction_lock_duration = add(any_but("number", "null"), "1e400", "-1e400"),
}
local BAD_CODES = add(any_but("string", "number"), '""', '"abc"', '"1000 "', '"-1"', '"0x3e8"',
  '"1e3"', '"10000000000"', "1000.5", "1e400", "1e15")

local function show(value)
  return tostring(value):sub(1, 60)
end

--- Raise unless this is an error that names the field.
local function assert_names(found, err, field, value)
  assert.is_nil(found, show(value))
  assert.are.equal("protocol", err.kind, show(value))
  assert.is_truthy((err.message .. " "):find("field " .. field .. " ", 1, true),
    err.message .. " " .. show(value))
end

--- Raise unless this is a job with all its parts.
local function assert_whole(job)
  assert.are.equal("string", type(job.id))
  assert.are.equal(job.data._id, job.id)
  assert.is_truthy(({ queueing = true, processing = true, completed = true,
    failed = true })[job.status])
  assert.is_true(job.video == nil or job.video:find "^https?://[^%s/]+" ~= nil)
  if job.status == "completed" then assert.is_string(job.video) end
  assert.is_string(cjson.encode(job))
end

describe("the answer to client:info", function()
  local t = fixture.new()
  local client

  before_each(function() client = t.client { max_retries = 0 } end)

  local function answered(body)
    t.service:fail { at = "info", raw = body }
    return client:info(ID)
  end

  it("makes a job when all is well", function()
    local job = assert(answered(answer_with {}))
    assert_whole(job)
    assert.are.equal(ID, job.id)
    assert.are.equal("processing", job.status)
    assert.is_nil(job.video)
    assert.are.equal(1712720702, job.created_at)
    assert.are.equal(1712720702 + 7 * 86400, job.expires_at)
    assert.are.equal(11.7, job.duration)
    assert.are.equal(20, job.credits)
    assert.are.equal(100002, job.data.uid)
  end)

  it("has a status of the documented four", function()
    local words = { "queueing", "processing", "completed", "failed" }
    for number, word in ipairs(words) do
      local job = assert(answered(answer_with { video_status = tostring(number),
        video = '"https://host/v.mp4"' }))
      assert.are.equal(word, job.status)
      assert.are.equal("https://host/v.mp4", job.video)
    end
  end)

  for _, field in ipairs(CHECKED) do
    it("is refused by name when data." .. field .. " is not what it has to be", function()
      for _, value in ipairs(NO_JOB[field]) do
        local job, err = answered(answer_with { [field] = value })
        assert_names(job, err, "data." .. field, value)
        assert.are.equal(ID, err.job.id)
        assert.are.equal(200, err.http_status)
      end
    end)
  end

  it("does without the fields that nothing depends on", function()
    for _, value in ipairs { false, "null" } do
      for _, field in ipairs { "video", "create_time", "video_lock_duration",
        "deduction_lock_duration", "uid" } do
        assert_whole(assert(answered(answer_with { [field] = value })))
      end
    end
    local job = answered '{"code":1000,"data":{"_id":"66160f989dfc997ac289037b","video_status":1}}'
    assert.are.same({ id = ID, status = "queueing", data = { _id = ID, video_status = 1 } }, job)
  end)

  it("is refused with what stands in the place of what should", function()
    for value, words in pairs { ["true"] = "is a boolean.", ['"x"'] = "is a string.",
      ["null"] = "is null.", ["2.5"] = "is the number 2.5.", ["[]"] = "is a table." } do
      local _, err = answered(answer_with { video_status = value })
      assert(err.message:find("data.video_status should be a whole number but " .. words, 1, true),
        err.message)
    end
    local _, err = answered(answer_with { video_status = false })
    assert(err.message:find("should be a whole number but is missing.", 1, true), err.message)
  end)

  it("is refused by name when the code is not one", function()
    for _, value in ipairs(BAD_CODES) do
      local job, err = answered('{"code":' .. value .. ',"data":' .. data_with {} .. "}")
      assert_names(job, err, "code", value)
    end
    local job, err = answered('{"data":' .. data_with {} .. "}")
    assert_names(job, err, "code", "missing")
  end)

  it("is not refused with words that say nothing", function()
    for _, body in ipairs { '{"code":1000.5}', answer_with { video_lock_duration = "1e400" } } do
      local _, err = answered(body)
      assert.are.equal("unexpected_answer", err.name)
      assert.is_nil(err.message:find "should be an? (%a+) but is %1", err.message)
    end
  end)

  it("is refused when data is not an object", function()
    for _, value in ipairs { '"12"', "12", "true", "false" } do
      local job, err = answered('{"code":1000,"data":' .. value .. "}")
      assert_names(job, err, "data", value)
    end
    for _, value in ipairs { "[]", "[1,2]", "{}" } do
      local job, err = answered('{"code":1000,"data":' .. value .. "}")
      assert.is_nil(job)
      assert.are.equal("protocol", err.kind)
      assert.is_truthy(err.message:find("field data", 1, true))
    end
  end)

  it("is refused when it is about another job", function()
    local job, err = answered(answer_with { _id = quoted(OTHER) })
    assert.is_nil(job)
    assert.are.equal("protocol", err.kind)
    assert.are.equal("wrong_job", err.name)
    assert.are.equal(ID, err.job.id)
    assert.is_truthy(err.message:find(OTHER, 1, true))
  end)

  it("is refused with numbers that JSON does not have", function()
    for _, number in ipairs { "NaN", "nan", "-NaN", "Infinity", "-Infinity", "inf", "0x10", "0X1p3",
      "+1", ".5", "01", "1.e", "1e", "--1" } do
      for _, body in ipairs { answer_with { uid = number }, answer_with { more = "[[" .. number
        .. "]]" }, answer_with { video_lock_duration = number }, '{"code":' .. number .. "}" } do
        local job, err = answered(body)
        assert.is_nil(job, number)
        assert.are.equal("protocol", err.kind, number)
      end
    end
  end)

  it("is refused with numbers that are too large to be one, in any field", function()
    for _, number in ipairs { "1e400", "-1e400" } do
      for _, body in ipairs { answer_with { uid = number }, answer_with { more = "[[" .. number
        .. "]]" }, answer_with { more = "[" .. number .. ",{}]" } } do
        local job, err = answered(body)
        assert.is_nil(job)
        assert.are.equal("protocol", err.kind)
      end
    end
  end)

  it("endures whole numbers larger than any integer", function()
    for _, number in ipairs { "9007199254740993", "9223372036854775808", "99999999999999999999",
      "-9223372036854775809", "1e300" } do
      local job = assert(answered(answer_with { uid = number }))
      assert_whole(job)
      assert.are.equal(tonumber(number) + 0.0, job.data.uid + 0.0)
    end
  end)

  it("is one thing and not two when a field comes twice", function()
    local twice = answer_with({}):gsub('"uid":100002', '"video_status":1,"_id":"' .. OTHER .. '"')
    local job = assert(answered(twice))
    assert_whole(job)
    assert.are.equal("processing", job.status) -- the last one counts, everywhere
    assert.are.equal(2, job.data.video_status)
    local found, err = answered(answer_with { zz = '1,"_id":"' .. OTHER .. '"' })
    assert.is_nil(found)
    assert.are.equal("wrong_job", err.name)
  end)

  it("is refused with anything behind it", function()
    for _, tail in ipairs { "x", "{}", ",", "}", "null", "1", "\0", "\0{}" } do
      local job, err = answered(answer_with {} .. tail)
      assert.is_nil(job, quoted(tail))
      assert.are.equal("broken_json", err.name)
    end
    assert_whole(assert(answered(" \r\n\t" .. answer_with {} .. " \r\n\t")))
  end)

  it("makes a whole job or none, whatever happened to its bytes", function()
    local good, seed = answer_with { video_status = "3", video = '"https://host/v.mp4"' }, 20240410
    local function dice(n) -- the same numbers everywhere: a failure can be repeated
      seed = (seed * 16807) % 2147483647
      return seed % n
    end
    for _ = 1, 400 do
      local body = good
      for _ = 1, 1 + dice(3) do
        local at = 1 + dice(#body)
        local what = dice(3)
        if what == 0 then body = body:sub(1, at - 1) .. string.char(dice(256)) .. body:sub(at + 1)
        elseif what == 1 then body = body:sub(1, at - 1) .. body:sub(at + 1 + dice(12))
        else body = body:sub(1, at) .. body:sub(at - dice(12) % at) end
      end
      local job, err = answered(body)
      if job then
        assert_whole(job)
        assert.are.equal(ID, job.id)
      else
        assert.is_string(err.kind, body)
        assert.is_string(err.message, body)
        assert.are.equal(ID, err.job.id)
      end
    end
  end)
end)

describe("a job", function()
  local t = fixture.new()

  local function each_number(value, see)
    if type(value) == "number" then see(value) end
    if type(value) ~= "table" then return end
    for key, inner in pairs(value) do
      each_number(key, see)
      each_number(inner, see)
    end
  end

  it("has integers where the service wrote integers", function()
    local client = t.client()
    local made = t.completed(client)
    t.service:fail { at = "info", raw = answer_with {
      more = '{"list":[1,2.5,{"deep":[[1712720702523,-7,0]]}],"whole":3.0}' } }
    local found = assert(client:info(ID))
    for _, job in ipairs { made, found } do
      local seen = 0
      each_number(job, function(number)
        seen = seen + 1
        assert.is_nil(tostring(number):find "%.0$", tostring(number))
        if math.type then
          local whole = number == math.floor(number)
          assert.are.equal(whole and "integer" or "float", math.type(number))
        end
      end)
      assert.is_true(seen > 10)
      assert.are.equal(11.7, job.duration)
      assert.are.equal(20, job.credits)
    end
    assert.are.equal("1712720702", tostring(found.created_at))
    assert.are.equal("1712720702523", tostring(found.data.more.list[3].deep[1][1]))
    assert.are.equal(2.5, found.data.more.list[2])
  end)

  it("has no integer where a number may have lost its last digits", function()
    if not math.type then return end -- every number is the same there
    t.service:fail { at = "info", raw = answer_with {
      more = "[9007199254740992,9007199254740994,-9007199254740992,-9007199254740994,1e300]" } }
    local kinds = {}
    local job = assert(t.client():info(ID))
    for i, number in ipairs(job.data.more) do kinds[i] = math.type(number) end
    assert.are.same({ "integer", "float", "integer", "float", "float" }, kinds)
  end)

  it("has no fields for nulls, at any depth", function()
    t.service:fail { at = "info", raw = answer_with { video = "null", uid = "null",
      more = '{"gone":null,"here":[{"gone":null,"here":1}]}' } }
    local job = assert(t.client():info(ID))
    assert.is_nil(job.video)
    assert.is_nil(job.data.video)
    assert.is_nil(job.data.uid)
    assert.are.same({ here = { { here = 1 } } }, job.data.more)
  end)

  it("keeps everything that the service said", function()
    t.service:fail { at = "info", raw = answer_with { error_msg = '"some words"',
      more = '{"a":[true,false,"x"]}' } }
    local job = assert(t.client():info(ID))
    assert.are.equal("some words", job.data.error_msg)
    assert.are.same({ a = { true, false, "x" } }, job.data.more)
    assert.are.equal("8ddc4a27-d173-4cf5-aa37-13e340fed8f3", job.data.video_id)
  end)

  it("prints, serialises and is data only", function()
    local job = t.completed()
    assert.is_truthy(tostring(job):find(job.id, 1, true))
    assert.is_truthy(tostring(job):find("completed", 1, true))
    local copy = cjson.decode(cjson.encode(job))
    assert.are.equal(job.id, copy.id)
    assert.are.equal(job.video, copy.video)
    assert.are.equal(job.created_at, copy.created_at)
    assert.are.equal(job.data.task_id, copy.data.task_id)
    for key, value in pairs(job) do
      assert.is_string(key)
      assert.is_truthy(({ string = true, number = true, table = true })[type(value)])
    end
  end)
end)

describe("the answer to client:create", function()
  local t = fixture.new()
  local client

  before_each(function() client = t.client() end)

  local function answered(body)
    t.service:fail { at = "create", raw = body }
    return client:create { video_url = t.video, audio_url = t.audio }
  end

  it("makes a job with the id that is to be asked for", function()
    local job = assert(answered(answer_with { video_status = "1" }))
    assert_whole(job)
    assert.are.equal(ID, job.id)
    assert.are.equal("queueing", job.status)
  end)

  it("may have an id of up to 128 letters, digits, - and _", function()
    for _, id in ipairs { "a", "A-b_9", ("f"):rep(128) } do
      assert.are.equal(id, assert(answered(answer_with { _id = quoted(id) })).id)
    end
  end)

  -- The service took the request: whatever is wrong with its words, the job may exist.
  local function assert_not_repeated(err, body)
    assert.are.equal("protocol", err.kind, show(body))
    assert.is_true(err.maybe_created, show(body))
    assert.are.equal(1, t.service:count "create")
    t.service:reset()
  end

  for _, field in ipairs(CHECKED) do
    it("is not taken for a job when data." .. field .. " is not what it has to be", function()
      for _, value in ipairs(NO_JOB[field]) do
        local job, err = answered(answer_with { [field] = value })
        assert_names(job, err, "data." .. field, value)
        assert_not_repeated(err, value)
        if field == "_id" then
          assert.is_nil(err.job)
        else
          assert.are.equal(ID, err.job.id) -- the one thing that must not be lost
        end
      end
    end)
  end

  it("is not taken for a refusal when it cannot be read", function()
    for _, body in ipairs { '{"code":1000}', '{"code":1000,"data":null}', '{"code":1000,"data":7}',
      '{"code":1000,"data":[]}', "{}", "[]", "7", "null", "", "OK", "<html></html>",
      answer_with { uid = "NaN" }, answer_with {} .. "x", '{"code":true,"data":{}}' } do
      local job, err = answered(body)
      assert.is_nil(job)
      assert_not_repeated(err, body)
    end
  end)
end)

describe("the answer to client:credits", function()
  local t = fixture.new()
  local client

  before_each(function() client = t.client { max_retries = 0 } end)

  local function answered(body)
    t.service:fail { at = "credits", raw = body }
    return client:credits()
  end

  it("is a number and nothing else", function()
    assert.are.equal(1, select("#", client:credits()))
    assert.are.equal("1000", tostring(assert(client:credits())))
    assert.are.equal("0", tostring(assert(answered '{"code":1000,"data":{"credit":0}}')))
    assert.are.equal("2.5", tostring(assert(answered '{"code":1000,"data":{"credit":2.5}}')))
  end)

  it("is refused by name when it is not", function()
    for _, value in ipairs(add(any_but("number"), "1e400", "-1e400")) do
      local credits, err = answered('{"code":1000,"data":{"credit":' .. value .. "}}")
      assert_names(credits, err, "data.credit", value)
    end
    local credits, err = answered '{"code":1000,"data":{}}'
    assert_names(credits, err, "data.credit", "missing")
    for _, value in ipairs(add(any_but("object", "array", "list"))) do
      credits, err = answered('{"code":1000,"data":' .. value .. "}")
      assert_names(credits, err, "data", value)
    end
    credits, err = answered '{"code":1000}'
    assert_names(credits, err, "data", "missing")
  end)

  it("is refused with a code that is not one", function()
    for _, value in ipairs(BAD_CODES) do
      local credits, err = answered('{"code":' .. value .. ',"data":{"credit":1}}')
      assert_names(credits, err, "code", value)
    end
  end)
end)

describe("the answer to the exchange of a client_id for a token", function()
  local t = fixture.new()
  local client

  before_each(function()
    client = t.client { max_retries = 0, client_id = fixture.secrets.client_id,
      client_secret = fixture.secrets.client_secret }
  end)

  local function answered(body)
    t.service:fail { at = "token", raw = body }
    return client:credits()
  end

  it("is refused by name when the token is not one", function()
    for _, value in ipairs(add(any_but("string"), quoted "a b", quoted "a\r\nx-evil: 1",
      quoted "a\0b", quoted "tokén", quoted(("t"):rep(9000)))) do
      local credits, err = answered('{"code":1000,"token":' .. value .. "}")
      assert_names(credits, err, "token", value)
      assert.is_nil(err.message:find("evil", 1, true))
    end
    for _, body in ipairs { '{"code":1000}', '{"code":1000,"data":{"token":"abc"}}' } do
      local credits, err = answered(body)
      assert_names(credits, err, "token", body)
    end
    assert.are.equal(0, t.service:count "credits") -- nothing was sent with such a token
  end)

  it("is refused with a code that is not one", function()
    for _, value in ipairs(BAD_CODES) do
      local credits, err = answered('{"code":' .. value .. ',"token":"abc"}')
      assert_names(credits, err, "code", value)
    end
  end)
end)

describe("requests of different kinds", function()
  local t = fixture.new()

  it("each go to their own address, whichever connection and handle they share", function()
    local client = t.client()
    local first, second = t.job(client), t.job(client)
    t.service:reset()
    assert(not client:info(first))
    assert(client:credits())
    assert(not client:info(second))
    assert(client:credits())
    local paths = {}
    for i, request in ipairs(t.service:requests()) do paths[i] = request.path end
    assert.same({ "/api/open/v3/content/video/infobymodelid", "/api/open/v3/faceswap/quota/info",
      "/api/open/v3/content/video/infobymodelid", "/api/open/v3/faceswap/quota/info" }, paths)
  end)

  it("keep the path that base_url has, and ask for the job they are about", function()
    local client = t.client { base_url = t.service.url .. "/behind/a/./gateway/" }
    client:info "first-job"
    client:info "second-job"
    local seen = {}
    for i, request in ipairs(t.service:requests()) do
      seen[i] = { request.path, request.query }
    end
    local path = "/behind/a/gateway/api/open/v3/content/video/infobymodelid"
    assert.same({ { path, { video_model_id = "first-job" } },
      { path, { video_model_id = "second-job" } } }, seen)
  end)
end)

describe("a job that the service does not show yet", function()
  local t = fixture.new()

  it("is waited for", function()
    local client = t.client()
    local job = t.job(client)
    t.service:fail { at = "info", top_drop = { "data" }, times = 2 }
    t.service:fail { at = "info", raw = '{"code":1000,"data":null}', times = 2 }
    t.service:advance(60)
    assert.are.equal("completed", assert(client:wait(job)).status)
    assert.are.equal(5, t.service:count "info")
  end)

  it("is asked for again by client:info, and then reported", function()
    local job = t.job()
    t.service:fail { at = "info", top_drop = { "data" }, times = "always" }
    local found, err = t.client():info(job, { max_retries = 1 })
    assert.is_nil(found)
    assert.are.equal("protocol", err.kind)
    assert.are.equal("no_data_yet", err.name)
    assert.are.equal(job.id, err.job.id)
    assert.are.equal(2, t.service:count "info")
    t.service:clear()
    t.service:fail { at = "info", top_drop = { "data" } }
    assert.are.equal(job.id, assert(t.client():info(job, { max_retries = 1 })).id)
  end)

  it("is not mixed up with another one by client:wait", function()
    local client = t.client()
    local job = t.job(client)
    t.service:advance(60)
    t.service:fail { at = "info", data = { _id = OTHER }, times = 2 }
    local done = assert(client:wait(job))
    assert.are.equal(job.id, done.id)
    assert.are.equal(3, t.service:count "info")
  end)
end)

describe("a status that nobody has documented", function()
  local t = fixture.new()

  it("is an error of client:info that names the field and the number", function()
    local client = t.client()
    local job = t.job(client)
    t.service:set(job.id, { video_status = 7 })
    local found, err = client:info(job)
    assert_names(found, err, "data.video_status", 7)
    assert.is_truthy(err.message:find("7", 1, true))
    assert.are.equal(1, t.service:count "info") -- to ask again would not help
  end)

  local function numbers_until_done(before)
    local client = t.client()
    local job = t.job(client)
    if before then t.service:set(job.id, { video_status = before }) end
    local answers, numbers = 0, {}
    local done = assert(client:wait(job.id, { on_event = function(event)
      if event.type == "status" then numbers[#numbers + 1] = event.number end
      if event.type ~= "answer" then return end
      answers = answers + 1
      if answers == 1 then t.service:set(job.id, { video_status = 7 }) end
      if answers == 4 then t.service:set(job.id, { video_status = 3 }) end
    end }))
    assert.are.equal("completed", done.status)
    return numbers
  end

  it("is waited through, and an event tells of it", function()
    assert.are.same({ 2, 7, 3 }, numbers_until_done(2))
  end)

  it("is waited through from the first answer on, and an event tells of it", function()
    assert.are.same({ 7, 3 }, numbers_until_done(7))
  end)

  it("is no round of client:poll", function()
    local client = t.client()
    local job = t.job(client)
    t.service:set(job.id, { video_status = 7 })
    local rounds, answers = {}, 0
    for status, found in client:poll(job.id, { on_event = function(event)
      if event.type ~= "answer" then return end
      answers = answers + 1
      if answers == 3 then t.service:set(job.id, { video_status = 4 }) end
    end }) do
      rounds[#rounds + 1] = status
      assert_whole(found)
    end
    assert.are.same({ "failed" }, rounds)
  end)
end)
