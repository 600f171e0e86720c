-- Nothing that comes grows without bound: floods, bombs and answers that never end are refused early,
-- in little memory, and what is refused has a name.

local child = require "support.child"
local fixture = require "support.fixture"
local lfs = require "lfs"
local lipsync = require "akool.lipsync"
local wire = require "support.wire"

describe("an answer", function()
  local t = fixture.new()

  -- What a child says of a call of each sort to a server that floods it: the error's name, and by
  -- how much its memory grew at most, in kB. And how many bytes the server got rid of.
  local function flooded(options)
    local server = wire.start(options)
    finally(function() server:stop() end)
    local results = {}
    for i, call in ipairs {
      "client:credits()",
      ("client:download({ id = 'x', status = 'completed', video = %q }, %q)"):format(
        server.url .. "/x.mp4", t.path("out.mp4")),
    } do
      local said = child.run(([[
        local lipsync = require "akool.lipsync"
        local function peak()
          return tonumber(io.open("/proc/self/status"):read("*a"):match("VmHWM:%%s*(%%d+) kB"))
        end
        local client = assert(lipsync.new { api_key = "a-key", base_url = %q, max_retries = 0,
          timeout = 0.5, stall_timeout = 0.5, max_bytes = 4e6 })
        client:credits { connect_timeout = 1e-6 } -- takes what a first call takes
        local before = peak()
        local value, err = %s
        print(value, err.name, err.retryable, peak() - before)
      ]]):format(server.url, call))
      local name, retryable, grown = said:match("^nil\t([%w_]+)\t(%w+)\t(%d+)\n$")
      assert.is_string(name, said)
      results[i] = { name = name, retryable = retryable == "true", grown = tonumber(grown) }
    end
    results.sent = server:seen().sent
    assert.same({}, fixture.files(t.folder))
    return results
  end

  local OK = "HTTP/1.1 200 OK\r\n"
  local CHUNKED = OK .. "Transfer-Encoding: chunked\r\n\r\n"
  local LARGE = "answer_too_large"
  local LINE_TOO_LONG = "out_of_memory" -- libcurl's word for a line of more than 100 kB
  local LINE = ("f"):rep(1000)

  -- What comes without end, and how a call and a download call it.
  local FLOODS = {
    ["lines of headers"] = { LARGE, LARGE, head = OK, filler = "X-Flood: " .. LINE .. "\r\n" },
    ["one line of headers"] = { LINE_TOO_LONG, LINE_TOO_LONG,
      head = OK .. "X-Flood: ", filler = LINE },
    ["the first line"] = { LINE_TOO_LONG, LINE_TOO_LONG, head = "HTTP/1.1 200 ", filler = LINE },
    ["answers that say to go on"] = { LARGE, LARGE, filler = "HTTP/1.1 100 Continue\r\n\r\n" },
    ["early hints"] = { LARGE, LARGE,
      filler = "HTTP/1.1 103 Early Hints\r\nLink: </" .. LINE .. ">\r\n\r\n" },
    ["a body of a length that was announced"] = { LARGE, LARGE,
      head = OK .. "Content-Length: 1000000000000\r\n\r\n", filler = LINE },
    ["a body of no length"] = { LARGE, LARGE, head = OK .. "\r\n", filler = LINE },
    ["a body in chunks"] = { LARGE, LARGE, head = CHUNKED,
      filler = "3e8\r\n" .. LINE .. "\r\n" },
    ["one chunk"] = { LARGE, LARGE, head = CHUNKED .. "7fffffffffff\r\n", filler = LINE },
    ["a page of a gateway"] = { LARGE, LARGE, filler = LINE,
      head = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 1000000000\r\n\r\n" },
    ["lines behind the last chunk"] = { LARGE, LARGE, head = CHUNKED .. "5\r\nhello\r\n0\r\n",
      filler = "X-Flood: " .. LINE .. "\r\n" },
    ["digits of a chunk's size"] = { "connection_lost", "connection_lost",
      head = CHUNKED, filler = "0" },
    ["something that is not HTTP"] = { "network_error", "network_error",
      filler = LINE .. "\n" },
    ["what may stand beside a chunk's size"] = { "answer_timeout", "stalled", slow = true,
      head = CHUNKED .. "5;", filler = LINE },
  }

  for what, flood in pairs(FLOODS) do
    it("that does not end is refused early and in little memory: " .. what, function()
      local results = flooded { head = flood.head, filler = flood.filler,
        most = 256e6, keep = true } -- far more than may be taken, far less than a disk
      for i = 1, 2 do
        assert.equal(flood[i], results[i].name)
        assert.is_true(results[i].grown < 16 * 1024, results[i].grown)
      end
      -- what it takes to notice, and what the system's buffers hold
      assert.is_true(flood.slow or results.sent < 2 * 16e6, results.sent)
    end)
  end

  it("is not asked to be compressed", function()
    assert(t.client():credits())
    assert(t.client():download(t.completed(), t.path("out.mp4")))
    for _, request in ipairs(t.service:requests()) do
      assert.is_nil(request.headers["accept-encoding"])
      assert.is_nil(request.headers.te)
    end
  end)

  -- 256 MB of zeros, compressed.
  local function bomb()
    local pipe = assert(io.popen("head -c 256000000 /dev/zero | gzip -1"))
    local bytes = pipe:read("*a")
    pipe:close()
    assert.is_true(#bytes < 4e6)
    return bytes
  end

  it("that is compressed all the same is not inflated, and is no video", function()
    local bytes = bomb()
    local head = OK .. "Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    local results = flooded { head = head:format(#bytes), tail = bytes }
    assert.equal("answer_too_large", results[1].name)
    assert.equal("not_a_video", results[2].name)
    for i = 1, 2 do assert.is_true(results[i].grown < 16 * 1024, results[i].grown) end
    for _, coding in ipairs { "gzip", "br", "deflate", "x-gzip", "GZIP", "gzip, gzip" } do
      local job = t.completed()
      t.service:fail { at = "file", headers = { ["Content-Encoding"] = coding } }
      local file, err = t.client():download(job, t.path("out.mp4"), { max_retries = 0 })
      assert.is_nil(file, coding)
      assert.equal("not_a_video", err.name)
      assert.same({}, fixture.files(t.folder))
    end
    t.service:fail { at = "file", headers = { ["Content-Encoding"] = "identity" } }
    assert(t.client():download(t.completed(), t.path("out.mp4")))
  end)

  it("that is compressed on its way is counted as it comes out", function()
    local bytes = bomb()
    local results = flooded {
      head = OK .. "Transfer-Encoding: gzip, chunked\r\n\r\n",
      tail = ("%x\r\n%s\r\n0\r\n\r\n"):format(#bytes, bytes),
    }
    for i = 1, 2 do
      assert.equal("answer_too_large", results[i].name)
      assert.is_true(results[i].grown < 16 * 1024, results[i].grown)
    end
  end)

  it("to the client is told who asks", function()
    assert(t.client():credits())
    assert(t.client({ user_agent = "film-machine/2" }):credits())
    local seen = t.service:requests("credits")
    assert.equal("akool-lipsync/" .. lipsync._VERSION, seen[1].headers["user-agent"])
    assert.equal("film-machine/2", seen[2].headers["user-agent"])
  end)

  it("names no file: what it is called is the caller's choice alone", function()
    local job = t.completed()
    t.service:fail { at = "file", headers = {
      ["Content-Disposition"] = 'attachment; filename="../../evil.mp4"',
    } }
    assert(t.client():download(job, t.path("out.mp4")))
    assert.same({ "out.mp4" }, fixture.files(t.folder))
    assert.is_nil(lfs.attributes(t.path("../../evil.mp4")))
  end)
end)
