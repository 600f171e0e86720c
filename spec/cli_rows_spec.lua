-- cli, rows: lists of jobs as people and spreadsheets write them, CSV and JSON lines.

local csv = require "akool.lipsync.cli.csv"
local rows = require "akool.lipsync.cli.rows"

local V, A = "https://example.com/v.mp4", "https://example.com/a.wav"
local B = "https://example.com/b.wav"

--- The rows of a text that is fine.
local function read(text, options, name)
  local items, lines = rows.read(text, name, options or {})
  assert(items, lines)
  return items, lines
end

--- What is wrong with a text.
local function problems(text, options, name)
  local items, why = rows.read(text, name, options or {})
  assert.is_nil(items)
  return why
end

local BOM = "\239\187\191"

describe("a table in CSV", function()
  it("may have quotes, commas, line ends and doubled quotes in its fields", function()
    local records = assert(csv.read 'a,"b,c","d\r\ne","say ""hi"""\r\nnext,,"",\n')
    assert.same({ { "a", "b,c", "d\r\ne", 'say "hi"', line = 1 }, { "next", "", "", "",
      line = 3 } },
      records)
  end)

  it("may end in any way, or in none", function()
    for _, text in ipairs { "a,b\nc,d", "a,b\nc,d\n", "a,b\r\nc,d\r\n", "a,b\rc,d\r",
      "a,b\n\nc,d\n\n",
      BOM .. "a,b\nc,d\n" } do
      local records = assert(csv.read(text))
      assert.same({ 2, "a", "b", "c", "d" }, { #records, records[1][1], records[1][2],
        records[2][1],
        records[2][2] })
    end
    assert.same({}, csv.read "")
    assert.same({}, csv.read(BOM))
  end)

  it("says in which line a quote is wrong", function()
    for text, line in pairs { ['a\n"b'] = 2, ['a\n"b"c\n'] = 2, ['x\ny\na"b\n'] = 3,
      ['"a\nb"\n"c'] = 3 } do
      local records, problem = csv.read(text)
      assert.is_nil(records)
      assert.equal(line, problem.line, text)
    end
  end)

  it("is read again as it was written", function()
    local fields = { "plain", "", 'a "quoted" one', "two\nlines", "a,b", " spaces ", "é" }
    local records = assert(csv.read(csv.line(fields, #fields)))
    fields.line = 1
    assert.same({ fields }, records)
  end)
end)

describe("rows", function()
  it("have their columns by name, in any order and case", function()
    for _, head in ipairs { "audio_url,key,video_url", "Audio_URL, Key ,VIDEO_URL",
      BOM .. '"audio_url",key,video_url' } do
      assert.same({ { key = "one", video_url = V, audio_url = A } },
        read(head .. "\n" .. A .. ",one," .. V .. "\n"))
    end
  end)

  it("without a heading begin with the key, or with a URL", function()
    assert.same({ { key = "one", video_url = V, audio_url = A, output = "x.mp4" } },
      read(("one,%s,%s,x.mp4\n"):format(V, A)))
    assert.same({ { key = "v-a", video_url = V, audio_url = A, output = "x.mp4" } },
      read(("%s,%s,x.mp4\n"):format(V, A)))
  end)

  it("may share one video, and are its voices then", function()
    local items = read(("%s\n%s\n"):format(A, B), { video = V, output = "{key}-{n}.mp4" })
    assert.same({ { key = "a", video_url = V, audio_url = A, output = "a-1.mp4" },
      { key = "b", video_url = V, audio_url = B, output = "b-2.mp4" } }, items)
    items = read(("one,%s\n"):format(A), { video = V })
    assert.equal("one", items[1].key)
  end)

  it("may be JSON lines", function()
    local items, lines = read(('{"key":7,"video_url":"%s","audio_url":"%s","output":null}\n\n'
      .. '{"video_url":"%s","audio_url":"%s","speaker":"Anna"}\r\n'):format(V, A, V, B),
      { output = "{key}.mp4", force = true })
    assert.same({ key = "7", video_url = V, audio_url = A, output = "7.mp4", force = true },
      items[1])
    assert.same({ key = "v-b", video_url = V, audio_url = B, output = "v-b.mp4", force = true },
      items[2])
    assert.same({ 1, 3 }, lines)
  end)

  it("are of the format that they look like, or that the name of the file says", function()
    local json = ('{"video_url":"%s","audio_url":"%s"}\n'):format(V, A)
    assert.equal("v-a", read(json)[1].key)
    assert.equal("v-a", read(json, {}, "list.jsonl")[1].key)
    assert.truthy(problems(json, {}, "list.csv"))
    assert.equal("v-a", read(json, { format = "jsonl" }, "list.csv")[1].key)
  end)

  it("are called after the files in their URLs when they have no key", function()
    for url,
      name in pairs { ["https://example.com/a/b/My%20Voice.final.wav?x=1#y"] = "My_Voice.final",
      ["https://example.com/"] = "example", ["https://example.com/..%2F..%2Fetc"] = "etc",
      ["https://example.com/%00%1b.wav"] = "file" } do
      assert.equal(name, rows.key_of(nil, url))
    end
  end)

  it("take the names of their files from a pattern, which cannot lead elsewhere", function()
    local items = read("key,video_url,audio_url,dir\n../../x," .. V .. "," .. A .. ",..\n",
      { output = "{dir}/{key}.mp4" })
    assert.equal("_/__.._x.mp4", items[1].output)
    assert.truthy(problems("a," .. V .. "," .. A, { output = "{speaker}.mp4" }):find("{speaker}",
      1, true))
  end)

  it("tell of every line that is wrong, by its number, and then none is taken", function()
    local why = problems(("key,video_url,audio_url\none,%s,%s\ntwo,,%s\n\n"
      .. "three,%s,/home/voice.wav\none,%s,%s\nfive,%s,%s,too,many\n")
      :format(V, A, A, V, V, B, V, A))
    assert.same({
      "line 3: video_url is missing",
      "line 5: audio_url is no http(s) URL, which it has to be for the service to get it",
      'line 6: the key "one" is that of line 2, too',
      "line 7: 5 fields, but there are 3 columns (key, video_url, audio_url)",
    }, { why:match "([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)$" })
  end)

  it("do not have two columns of one name", function()
    assert.equal("line 1: two columns are called audio_url", problems(
      ("key,video_url,audio_url,AUDIO_URL\none,%s,%s,%s\n"):format(V, A, B)):match "[^\n]*$")
  end)

  it("tell of twenty of such lines, and of how many more there are", function()
    local why = problems(("x,y,z\n"):rep(30))
    assert.equal(21, select(2, why:gsub("[^\n]+", "")))
    assert.truthy(why:find("line 1: ", 1, true))
    assert.truthy(why:find("\n... and %d+ more$"), why)
  end)

  it("must not write to the same file", function()
    local why = problems(("%s\n%s\n"):format(A, B), { video = V, output = "out.mp4" })
    assert.truthy(why:find('line 2: the output "out.mp4" is that of line 1', 1, true), why)
  end)

  it("say what is no JSON, and what is no row", function()
    local why = problems('{"video_url":1}\n[1]\n{"a":\n{"key":{},"video_url":"x"}\n',
      { format = "jsonl" })
    for _, words in ipairs { "line 1: ", "line 2: a JSON object expected",
      "line 3: this is not JSON: ",
      "line 4: key should be a string, not a table" } do
      assert.truthy(why:find(words, 1, true), why)
    end
  end)
end)
