-- cli, text: what is fit for a terminal, how wide it is, and JSON for other programs.

local json = require "akool.lipsync.cli.json"
local text = require "akool.lipsync.cli.text"

describe("text for a terminal", function()
  it("has nothing in it that a terminal acts on", function()
    for bytes, clean in pairs {
      ["plain, é, 日本"] = "plain, é, 日本", ["\27[31mred\27[0m"] = "?[31mred?[0m",
      ["a\nb\tc\rd\0e\127"] = "a b c?d?e?", ["\194\155A"] = "?A", ["\155A\255"] = "?A?",
      ["\226\128\174abc\226\129\166"] = "?abc?", ["\192\175"] = "??", ["\237\160\128"] = "???",
      ["\226\130"] = "??",
    } do
      assert.equal(clean, text.clean(bytes))
    end
    assert.equal("7", text.clean(7))
  end)

  it("is as wide as its characters are", function()
    for clean, width in pairs { [""] = 0, abc = 3, ["é"] = 1, ["e\204\129"] = 1, ["日本"] = 4,
      ["😀"] = 2, ["한국"] = 4, ["ｗ"] = 2, ["नि"] = 2 } do
      assert.equal(width, text.width(clean), clean)
    end
  end)

  it("is cut between characters, and filled up to a width", function()
    assert.equal("abc", text.fit("abc", 5))
    assert.equal("abc  ", text.fit("abc", 5, true))
    assert.equal("abc..", text.fit("abcdef", 5))
    assert.equal("日..", text.fit("日本語", 5))
    assert.equal("日.. ", text.fit("日本語", 5, true))
    assert.equal("ab", text.fit("abc", 2))
    for columns = 0, 12 do
      for _, sample in ipairs { "日本語のテキスト", "plain text that is long",
        ("e\204\129"):rep(3) } do
        assert.is_true(text.width(text.fit(sample, columns)) <= columns)
        assert.equal(columns, text.width(text.fit(sample, columns, true)))
        assert.is_true(text.width(text.squeeze(sample, columns)) <= math.max(2, columns))
      end
    end
  end)

  it("keeps both of its ends when it is squeezed", function()
    assert.equal("abcdef", text.squeeze("abcdef", 6))
    assert.equal("ab..f", text.squeeze("abcdef", 5))
    assert.equal("日..ト", text.squeeze("日本語のテキスト", 6))
  end)

  it("says quantities shortly", function()
    assert.same({ "0:00", "0:07", "1:00", "12:30", "1:02:03", "0:00" }, { text.clock(0),
      text.clock(7.4), text.clock(59.6), text.clock(750), text.clock(3723), text.clock(-5) })
    assert.same({ "0 B", "999 B", "1.0 kB", "100 kB", "2.4 MB", "2.1 GB" }, { text.bytes(0),
      text.bytes(999), text.bytes(1000), text.bytes(99999), text.bytes(2400000),
      text.bytes(2147483648) })
  end)

  it("is a word for a shell", function()
    assert.equal("out.mp4", text.quote "out.mp4")
    assert.equal("'my film.mp4'", text.quote "my film.mp4")
    assert.equal("'it'\\''s'", text.quote "it's")
    assert.equal("''", text.quote "")
    assert.equal("'$(x)'", text.quote "$(x)")
  end)
end)

describe("JSON", function()
  it("has its fields in an order that is always the same, and empty lists", function()
    assert.equal('{"type":"x","id":"1","a":1,"b":[],"c":{}}',
      json.encode { b = json.list {}, c = {}, a = 1, id = "1", type = "x" })
    assert.equal('[1,2.5,true,"a/b"]', json.encode { 1, 2.5, true, "a/b" })
  end)

  it("is UTF-8 without anything that a terminal acts on", function()
    assert.equal('"\\u001b[31m é \\u009b \239\191\189"', json.encode "\27[31m é \194\155 \155")
    assert.equal('{"bad \239\191\189":1}', json.encode { ["bad \255"] = 1 })
  end)

  it("has whole numbers without a point, and no number that is none", function()
    assert.equal("[1000,1795407209285,null]", json.encode { 1000.0, 1795407209285, 0 / 0 })
  end)

  it("is read without nulls, and says what is wrong with it", function()
    assert.same({ a = 1 }, json.decode '{"a":1.0,"b":null}')
    local value, why = json.decode "{"
    assert.is_nil(value)
    assert.truthy(why:find "^Expected ", why)
  end)
end)
