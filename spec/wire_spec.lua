-- The wire: answers as no decent server sends them, byte for byte, and what becomes of each.

local cjson = require "cjson"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local http = require "akool.lipsync.http"
local lipsync = require "akool.lipsync"
local wire = require "support.wire"

local CREDITS = '{"code":1000,"msg":"OK","data":{"credit":7}}'
local FILM = ("film "):rep(48)
local HALF = 120 -- bytes of it that are there when a download goes on
local ETAG = '"a-strong-one"'

-- An answer of these lines and this body.
local function answer(lines, body)
  lines[#lines + 1] = ""
  return table.concat(lines, "\r\n") .. "\r\n" .. (body or "")
end

local function length(body)
  return "Content-Length: " .. #body
end

describe("on the wire", function()
  local t = fixture.new()

  -- What the credits are, when the server says these bytes.
  local function credits(bytes, close)
    local server = wire.start { head = bytes, keep = not close }
    local client = t.client { base_url = server.url, max_retries = 0, timeout = 5 }
    local found, err = client:credits()
    server:stop()
    return found, err
  end

  -- An error about being asked too often, with this Retry-After.
  local function refused(value, date)
    local body = cjson.encode { code = 1005, msg = "too frequent" }
    local found, err = credits(answer({ "HTTP/1.1 429 No", "Date: " .. (date or "today"),
      "Retry-After:" .. value, length(body) }, body))
    assert.is_nil(found)
    assert.equal("rate_limited", err.kind)
    return err.retry_after
  end

  it("an answer may have white space around its values, and lines that end in LF alone", function()
    assert(credits(("HTTP/1.1 200 OK\nX-A:b\nContent-Length:\t %d \n\n%s"):format(#CREDITS,
      CREDITS)))
  end)

  it("an answer may have headers that only begin like those that are read", function()
    local lines = { "HTTP/1.1 200 OK", "C: d", "Et: ag", "R: 1", "Content-Lengthy: 3",
      length(CREDITS) }
    assert(credits(answer(lines, CREDITS)))
    assert(credits(("HTTP/1.1 200 OK\n:\n%s\n\n%s"):format(length(CREDITS), CREDITS)))
  end)

  it("an answer may say when it was made, by the service's clock", function()
    for date, seconds in pairs { ["Date: Sun, 06 Nov 1994 08:49:37 GMT"] = 784111777,
      ["Date: today"] = false, ["X-Date: Sun, 06 Nov 1994 08:49:37 GMT"] = false } do
      t.events = {}
      assert(credits(answer({ "HTTP/1.1 200 OK", date, length(CREDITS) }, CREDITS)))
      assert.equal(seconds or nil, t.events_of("answer")[1].date)
    end
  end)

  it("an answer that has to be empty tells nothing, and says so", function()
    local found, err = credits(answer { "HTTP/1.1 204 No Content" })
    assert.is_nil(found)
    assert.equal("protocol", err.kind)
    assert.equal(204, err.http_status)
  end)

  it("a chunked answer may end with trailers, which change nothing", function()
    local found = assert(credits(answer({ "HTTP/1.1 200 OK", "Transfer-Encoding: chunked" },
      ("%x\r\n%s\r\n0\r\nContent-Length: 3\r\nRetry-After: 9\r\n\r\n"):format(#CREDITS, CREDITS))))
    assert.truthy(found)
  end)

  it("an interim answer is not the answer", function()
    assert(credits(answer({ "HTTP/1.1 103 Early Hints", "Link: </a>" })
      .. answer({ "HTTP/1.1 200 OK", length(CREDITS) }, CREDITS)))
  end)

  it("an answer that changes to another protocol, which nobody asked for, is none", function()
    local found, err = credits(answer({ "HTTP/1.1 101 Switching Protocols", length(CREDITS) },
      CREDITS))
    assert.is_nil(found)
    assert.truthy(err.kind)
  end)

  it("an answer whose end is told by nothing but the connection's is not believed", function()
    local found, err = credits(answer({ "HTTP/1.1 200 OK", "X: y" }, CREDITS), true)
    assert.is_nil(found)
    assert.equal("protocol", err.kind)
    local lines = { "HTTP/1.1 200 OK", "Transfer-Encoding: identity" }
    found, err = credits(answer(lines, CREDITS), true)
    assert.is_nil(found)
    assert.equal("protocol", err.kind)
  end)

  it("a redirect that is cut short is that, and no redirect that leads nowhere", function()
    local found, err = credits(answer({ "HTTP/1.1 302 Found", "Content-Length: 90" }, "soon"), true)
    assert.is_nil(found)
    assert.equal("answer_cut_short", err.name)
  end)

  it("what is no HTTP is no answer", function()
    for _, bytes in ipairs { "220 mail.example.com ESMTP\r\n", "\r\n\r\n", "\0\1\2\3\4\5\6\7" } do
      local found, err = credits(bytes:rep(40), true)
      assert.is_nil(found)
      assert.equal("network", err.kind)
    end
  end)

  it("Retry-After is whole seconds or a date to come, and else nothing", function()
    assert.equal(3, refused " 3")
    for _, value in ipairs { " Thu, 01 Jan 2004 00:00:00 GMT", " soon",
      " 3s", " 1e3", " 0x10", " -1", "", " 3.5",
      " " .. ("1"):rep(300), " 99999999999999999999999999999999999 x" } do
      local seconds = refused(value)
      assert(seconds == nil, ("%q was read as %s"):format(value, tostring(seconds)))
    end
  end)

  it("Retry-After is a date by our clock, if the server does not know what time it is", function()
    local soon = http.date(os.time() + 30)
    for _, date in ipairs { "today", "", "Thu, 99 Foo 2004" } do
      local seconds = refused(" " .. soon, date)
      assert.is_true(seconds > 0 and seconds <= 30, date)
    end
    local found, err = credits(answer { "HTTP/1.1 503 No", "Retry-After: " .. soon,
      "Content-Length: 0" })
    assert.is_nil(found)
    assert.is_true(err.retry_after > 0 and err.retry_after <= 30)
  end)

  describe("a download", function()
    local out
    before_each(function() out = t.path "out.mp4" end)

    -- Download from a server that says these bytes.
    local function download(bytes)
      local server = wire.start { head = bytes, keep = true }
      local job = t.completed()
      job.video = server.url .. "/x.mp4"
      local file, err = t.client():download(job, out, { max_retries = 0, stall_timeout = 5 })
      server:stop()
      return file, err
    end

    -- An answer that goes on from the middle of the film, of which there is a part already.
    local function rest(range)
      for name, text in pairs { [".part"] = FILM:sub(1, HALF), [".part.etag"] = ETAG } do
        local file = assert(io.open(out .. name, "wb"))
        file:write(text)
        assert(file:close())
      end
      local body = FILM:sub(HALF + 1)
      return answer({ "HTTP/1.1 206 Partial Content", "ETag: " .. ETAG, "Content-Range:" .. range,
        length(body) }, body)
    end

    it("goes on where it stopped, if the server says that it does", function()
      local file = assert(download(rest((" bytes %d-%d/%d"):format(HALF, #FILM - 1, #FILM))))
      assert.equal(#FILM, file.bytes)
      assert.equal(FILM, fixture.read(out))
    end)

    it("may be given as one range that nobody asked for, if that is all of it", function()
      local function range(first)
        return answer({ "HTTP/1.1 206 Partial Content", ("Content-Range: bytes %d-%d/%d"):format(
          first, #FILM - 1, #FILM), length(FILM:sub(first + 1)) }, FILM:sub(first + 1))
      end
      local file, err = download(range(1))
      assert.is_nil(file)
      assert.equal("answer_cut_short", err.name)
      assert.equal(#FILM, assert(download(range(0))).bytes)
      assert.equal(FILM, fixture.read(out))
    end)

    it("may say that it is not compressed, and is refused when it is", function()
      for coding, fine in pairs { identity = true, Identity = true, compress = false } do
        local file, err = download(answer({ "HTTP/1.1 200 OK", "Content-Encoding: " .. coding,
          length(FILM) }, FILM))
        assert.equal(fine, file ~= nil, coding)
        if not fine then assert.equal("not_a_video", err.name) end
        os.remove(out)
      end
    end)

    it("is refused in words that are safe to print, whatever it calls itself", function()
      local file, err = download(answer({ "HTTP/1.1 200 OK", "Content-Type: text/\127\1x",
        length(FILM) }, FILM))
      assert.is_nil(file)
      assert.equal("not_a_video", err.name)
      assert.is_truthy(err.message:find("text/??x", 1, true), err.message)
    end)

    it("does not go on with a range that says nothing, or something else", function()
      for _, range in ipairs { "", " bytes", " bytes -5", (" bytes x-5/%d"):format(#FILM),
        (" lines %d-%d/%d"):format(HALF, #FILM - 1, #FILM), (" bytes %d"):format(HALF),
        (" bytes %d-%d"):format(HALF, #FILM - 1), (" bytes %d-%d/"):format(HALF, #FILM - 1),
        (" bytes %d-%d/*"):format(HALF, #FILM - 1), (" bytes %d-%d/:"):format(HALF, #FILM - 1),
        (" bytes %d/%d"):format(HALF, #FILM), (" bytes %d-%d/%dx"):format(HALF, #FILM - 1, #FILM),
        (" bytes %d-%d/%d"):format(HALF, HALF, HALF - 1), " bytes :-5/9",
        (" bytes %d-%d/%d"):format(HALF - 1, #FILM - 2, #FILM),
        " bytes " .. ("1"):rep(300) } do
        local file, err = download(rest(range))
        assert(file == nil, ("%q was believed"):format(range))
        assert.equal("answer_cut_short", err.name)
        assert.same({}, fixture.files(t.folder)) -- not even a part, which would be of two films
      end
    end)

    it("is not whole when the rest ends, as announced, before the film does", function()
      local bytes = rest((" bytes %d-%d/%d"):format(HALF, #FILM - 1, #FILM + 10))
      local file, err = download(bytes)
      assert.is_nil(file)
      assert.equal("answer_cut_short", err.name)
      assert.is_truthy(err.message:find(("%d of %d bytes"):format(#FILM, #FILM + 10), 1, true))
      assert.is_nil(io.open(out))
    end)

    it("keeps no ETag that could not be sent back", function()
      for _, etag in ipairs { '"a\1b"', '"a\127b"', ('"%s"'):format(("e"):rep(300)), "bare", "" } do
        local server = wire.start { head = answer({ "HTTP/1.1 200 OK", "ETag: " .. etag,
          length(FILM) }, FILM:sub(1, 100)) }
        local job = t.completed()
        job.video = server.url .. "/x.mp4"
        local file = t.client():download(job, out, { max_retries = 0 })
        server:stop()
        assert.is_nil(file)
        assert.is_nil(io.open(out .. ".part.etag"), etag)
        assert.is_nil(io.open(out .. ".part"), etag)
      end
    end)

    it("does not follow a redirect that leads nowhere", function()
      for _, place in ipairs { "http://", "gopher://127.0.0.1/x", "http://[bad/" } do
        local file, err = download(answer { "HTTP/1.1 302 Found", "Location: " .. place,
          "Content-Length: 0" })
        assert.is_nil(file)
        assert.is_nil(io.open(out))
        assert.truthy(err.kind)
      end
    end)
  end)

  it("as many connections are kept as were open at once", function()
    local client, list, jobs = t.client { max_connections = 290 }, {}, 290
    for i = 1, jobs do list[i] = i end
    t.service:fail { at = "credits", delay = 1, times = jobs } -- so that all are under way at once
    local _, errors = lipsync.map(list, function() return client:credits() end,
      { concurrency = jobs })
    assert.same({}, errors)
    assert(t.client { max_connections = 8 }:credits()) -- who needs fewer takes nobody's away
    local seen, used = {}, 0
    for _, request in ipairs(t.service:requests "credits") do
      if not seen[request.connection] then used = used + 1 end
      seen[request.connection] = true
    end
    assert.equal(used, t.service:connections())
  end)

  it("a connection is kept for as many as are asked for at once", function()
    local client = t.client { max_connections = 300 }
    assert(client:credits())
    assert.equal(1, core.engine():stats().idle)
  end)
end)
