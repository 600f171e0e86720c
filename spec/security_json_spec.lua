-- JSON: whatever comes in the place of an answer is read as JSON means it, or refused as a whole. A
-- corpus in the manner of JSONTestSuite: documents that must be taken, that must be refused, and
-- those where the decoder is free, for which only this is asked: no crash, and no half-made job.

local fixture = require "support.fixture"

local ID = "66160f989dfc997ac289037b"

-- What stands at VALUE in an otherwise good answer.
local ANSWER = '{"code":1000,"data":{"_id":"' .. ID .. '","video_status":2,"more":VALUE}}'

local GOOD = {
  "null", "true", "false", "0", "-0", "1", "-1", "123456789", "0.1", "-0.1", "1e3", "1E3", "1e+3",
  "1e-3", "1.5e3", "123e-10000000", '""', '"a"', '"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\u0041"',
  '"\\u00e9"', '"\\ud83d\\ude00"', '"\195\169"', '"\240\159\152\128"', '"\127"', '"\226\128\168"',
  "[]", "[ ]", "[null]", "[[]]", "[1,2]", "[1 , 2]", "{}", "{ }", '{"":0}', '{"a":{"b":[1]}}',
  " \t\r\n1", "1 \t\r\n", '{"a":1,"b":2}', '"\\u0000"', ("[1,"):rep(20) .. "1" .. ("]"):rep(20),
  '{"_id":"other","video_status":9}',
}

local BAD = {
  -- nothing, and words that are none
  "", " ", "nul", "tru", "fals", "NULL", "True", "undefined", "nil", "NaN", "-NaN", "Infinity",
  "-Infinity", "inf", "a", "'a'", "\239\187\1911", "\2541",
  -- numbers
  "+1", "01", "-01", ".1", "1e", "1e+", "1E-", "0x1", "0x", "1_000", "1,5",
  "--1", "-", "- 1", "1 2", "1a", "1e1.5", "0e", "\239\188\145", "1e400", "-1e400", "[1e400]",
  -- strings
  '"', '"a', 'a"', '"\\', '"\\"', '"\\x41"', '"\\u"', '"\\u1"', '"\\u12"', '"\\u123"', '"\\u123g"',
  '"\\U0041"', '"\\\\a""', '"\\a"', '"\\ "', '"\\\0"', '"\0"', '"\\ud800\\', '"a" "b"', '"a"b',
  -- arrays
  "[", "]", "[1", "1]", "[1,]", "[,1]", "[,]", "[1,,2]", "[1 2]", "[1;2]", "[1:2]", "[}", "[1}",
  "[[]", "[]]", '["a"', '["a",', "[\0]", "[1]x", "[1]]", "(1)", "<1>",
  -- objects
  "{", "}", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '{,"a":1}', '{"a"}', '{"a",1}',
  '{"a" 1}', '{a:1}', "{'a':1}", "{1:1}", "{null:1}", '{"a":1 "b":2}', '{"a":1,,"b":2}', '{"a"::1}',
  '{"a":1}}', '{"a":1]', '{"a":1}x', "{[]:1}", '{"a":}',
  -- comments, more than one document, code
  "1 // c", "1 /* c */", "/**/1", "# c\n1", "1,2", "1;", "[1]\n[2]", "1\0", "\0001", "1\v", "\f1",
  "1\194\160", "function(){}", "new Date()", "<html>", "${x}", "%s", "$(id)",
  -- as deep as no answer is
  ("["):rep(1000) .. ("]"):rep(1000), ("["):rep(100000), ('{"a":'):rep(100000),
  ('[{"a":'):rep(5000),
}

local EITHER = {
  "1.", "-.1", "1.e3", -- which lua-cjson lets pass for the numbers that they look like
  '"\\ud800"', '"\\ude00"', '"\\ud800\\ud800"', '"\\ude00\\ud83d"', '"\255"', '"\192\128"',
  '"\237\160\128"', '"\244\144\128\128"', '"\195"', '"\n"', '"\t"', '"\1"', '"\27[31m"',
  '{"a":1,"a":2}', "99999999999999999999", "-99999999999999999999", "1e308", "9007199254740993",
  "123123e-100000", ("1"):rep(400), "0." .. ("1"):rep(400), '"' .. ("x"):rep(500000) .. '"',
  "[" .. ("1,"):rep(100000) .. "1]",
}

local function shown(text)
  return ("%q"):format(#text > 60 and text:sub(1, 60) .. "…" or text)
end

describe("an answer made of odd JSON", function()
  local t = fixture.new()

  local function answered(text)
    t.service:fail { at = "info", raw = text }
    local job, err = t.client():info(ID, { max_retries = 0 })
    if job then
      assert.equal(ID, job.id)
      assert.equal("processing", job.status)
      assert.equal("table", type(job.data))
      assert.is_nil(err)
    else
      assert.equal("protocol", err.kind, shown(text))
      assert.is_string(err.message)
    end
    return job, err
  end

  -- In the midst of an answer; through a function, since "%" means something in a replacement.
  local function within(value)
    return (ANSWER:gsub("VALUE", function() return value end))
  end

  it("is a job when it is JSON", function()
    for _, value in ipairs(GOOD) do
      local job, err = answered(within(value))
      assert(job, ("%s: %s"):format(shown(value), tostring(err)))
    end
  end)

  it("is refused when it is not", function()
    for _, value in ipairs(BAD) do
      local job, err = answered(within(value))
      assert.is_nil(job, shown(value))
      -- "}" and the like may end the answer too early, and leave a document without what it needs
      assert.is_truthy(({ broken_json = 1, unexpected_answer = 1 })[err.name], shown(value))
    end
  end)

  it("is refused as a whole when it is nothing else", function()
    for _, list in ipairs { GOOD, BAD, EITHER } do
      for _, value in ipairs(list) do
        local job = answered(value)
        assert.is_nil(job, shown(value))
      end
    end
  end)

  it("is a whole job or none where the decoder is free", function()
    for _, value in ipairs(EITHER) do answered(within(value)) end
  end)

  it("is refused wherever it is cut, and with anything before or behind it", function()
    local good = within "[1]"
    for i = 0, #good - 1 do assert.is_nil((answered(good:sub(1, i))), i) end
    for byte = 0, 255 do
      local c = string.char(byte)
      local blank = c:find "[ \t\r\n]" ~= nil
      assert.equal(blank, answered(good .. c) ~= nil, "behind: " .. byte)
      assert.equal(blank, answered(c .. good) ~= nil, "before: " .. byte)
    end
  end)

  it("is read to a depth that no answer has, and no deeper", function()
    local deepest
    for depth = 1, 200 do
      local job = answered(within(("["):rep(depth) .. ("]"):rep(depth)))
      if job then deepest = depth end
      assert.equal(deepest == depth, job ~= nil) -- no gap
    end
    assert.is_true(deepest >= 16 and deepest <= 64, deepest)
  end)

  it("is a job and its id what came last, when a name comes twice", function()
    local twice = within '1,"video_status":3,"video_status":2'
    assert.equal("processing", answered(twice).status)
    local job, err = answered(within '1,"_id":"another"')
    assert.is_nil(job)
    assert.equal("wrong_job", err.name)
  end)
end)
