-- Downloads: a file is whole and right under its final name, or there is no file of that name.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local http = require "akool.lipsync.http"
local lfs = require "lfs"
local lipsync = require "akool.lipsync"
local loop = require "akool.lipsync.loop"
local options = require "akool.lipsync.options"
local preload = require "support.preload"
local shell = require "support.shell"
local uv = require "luv"

uv.new_tcp():close() -- from its first socket on, libuv keeps a descriptor in reserve
uv.run("nowait")

local ONCE = { max_retries = 0, resume = false }

-- The bytes of a result that was made `size` bytes long.
local function pattern(size)
  local source, parts, at = http.pattern(size), {}, 0
  while at < size do
    local part = source.read(at, size - at)
    parts[#parts + 1], at = part, at + #part
  end
  return table.concat(parts)
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  assert(file:close())
end

local function exists(path)
  return lfs.symlinkattributes(path, "mode") ~= nil
end

local function sha256sum(path)
  local pipe = assert(io.popen(("sha256sum '%s'"):format(path)))
  local line = pipe:read("*a")
  pipe:close()
  return line:match("^\\?(%x+)")
end

-- Turn luv's loop until done() or for ten seconds.
local function turn_until(done)
  local deadline, tick = uv.hrtime() + 10e9, uv.new_timer()
  tick:start(0, 5, function() end)
  while not done() and uv.hrtime() < deadline do uv.run("once") end
  tick:close()
  uv.run("nowait")
  return done()
end

-- The bytes of the answer to a plain GET, as far as `ended` wants them.
local function answer_to(port, target, ended)
  local socket, got = uv.new_tcp(), ""
  socket:connect("127.0.0.1", port, function()
    socket:write(("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):format(target))
    socket:read_start(function(_, bytes) got = got .. (bytes or "") end)
  end)
  assert(turn_until(function() return ended(got) end), "the mock service did not answer")
  socket:close()
  uv.run("nowait")
  return got
end

-- A program for another process, with a client like ours.
local function program(t, code, ...)
  local client = ("assert(lipsync.new { api_key = %q, base_url = %q })\n"):format(
    fixture.secrets.api_key, t.service.url)
  return child.script('local lipsync = require "akool.lipsync"\nlocal client = ' .. client
    .. code:format(...))
end

-- Run it, under `prefix` if given, and return what it says.
local function run(path, prefix)
  local said = child.start(path, { prefix = prefix })()
  os.remove(path)
  return said
end

-- A job that is completed and whose result is `size` bytes long, and those bytes.
local function result_of(t, size)
  local job = t.completed()
  assert(t.service:set(job.id, { bytes = size }))
  return job, pattern(size)
end

local function requests(t)
  return t.service:requests("file")
end

describe("client:download", function()
  local t = fixture.new()
  local out
  before_each(function() out = t.path("out.mp4") end)

  -- Nothing came of a download: what is wrong, and that no file and no part is there.
  local function refused(file, err)
    assert.is_nil(file)
    assert.same({}, fixture.files(t.folder))
    fixture.assert_no_secret(err)
    return err
  end

  local function right(file, err, bytes)
    assert.is_nil(err)
    assert.equal(out, file.path)
    assert.equal(#bytes, file.bytes)
    assert.is_true(fixture.read(out) == bytes, "the file holds other bytes")
    assert.equal(sha256sum(out), file.sha256)
    assert.same({ "out.mp4" }, fixture.files(t.folder))
  end

  describe("of a result", function()
    it("returns path, length and SHA-256, and leaves nothing but the file", function()
      local job, bytes = result_of(t, 300000)
      local file, err = t.client():download(job, out)
      right(file, err, bytes)
      assert.equal(1, #requests(t))
    end)

    it("finds the address by itself when all it gets is an id", function()
      local job, bytes = result_of(t, 1000)
      local file, err = t.client():download(job.id, out)
      right(file, err, bytes)
    end)

    it("takes a name relative to the folder it runs in, and one that is odd", function()
      local job, bytes = result_of(t, 1000)
      local here = lfs.currentdir()
      finally(function() lfs.chdir(here) end)
      local client = t.client()
      assert(lfs.chdir(t.folder))
      local file = assert(client:download(job, "it's a \"film\"\n.mp4"))
      assert(lfs.chdir(here))
      assert.same({ "it's a \"film\"\n.mp4" }, fixture.files(t.folder))
      assert.equal(bytes, fixture.read(t.path(file.path)))
    end)

    it("takes a result that comes in chunks", function()
      local job, bytes = result_of(t, 300000)
      t.service:fail { at = "file", framing = "chunked" }
      local file, err = t.client():download(job, out)
      right(file, err, bytes)
    end)

    it("follows a redirect of the storage", function()
      local job, bytes = result_of(t, 1000)
      t.service:fail { at = "file", redirect = job.video, status = 307 }
      local file, err = t.client():download(job, out)
      right(file, err, bytes)
      assert.equal(2, #requests(t))
    end)

    it("does not follow redirects for ever", function()
      local job = result_of(t, 1000)
      t.service:fail { at = "file", redirect = job.video, times = "always" }
      local err = refused(t.client():download(job, out))
      assert.equal("redirect_refused", err.name)
      assert.is_true(#requests(t) <= 10)
    end)

    it("comes after a redirect that could not be followed as if that had not been", function()
      local job, bytes = result_of(t, 300000)
      local client = t.client()
      for _, target in ipairs { "ftp://127.0.0.1/x", "http://[x/", "http://127.0.0.1:1/x" } do
        t.service:fail { at = "file", redirect = target, times = 3 }
        for _ = 1, 3 do refused(client:download(job, out, ONCE)) end
        for _ = 1, 3 do
          local file, err = client:download(job, out)
          right(file, err, bytes)
          os.remove(out)
        end
      end
    end)

    it("of a job that is not completed is not ready", function()
      local job = t.job()
      local err = refused(t.client():download(job, out))
      assert.equal("not_ready", err.name)
      assert.equal(job.id, err.job.id)
      assert.equal("queueing", err.job.status)
    end)

    it("of a job that failed does not exist", function()
      local job = t.job()
      t.service:set(job.id, { video_status = 4 })
      local err = refused(t.client():download(job, out))
      assert.equal("failed", err.kind)
      assert.equal("failed", err.job.status)
    end)
  end)

  describe("of an answer that is cut", function()
    -- Cut the answer after every `step`-th byte of it.
    local function cut_everywhere(fault, size, step)
      local job, bytes = result_of(t, size)
      local client, target = t.client(), job.video:match("^http://[^/]+(/.*)$")
      local chunked = fault.framing == "chunked"
      t.service:fail { at = "file", framing = fault.framing, delay = 0 }
      local total = #answer_to(t.service.port, target, function(got)
        local body = got:match("\r\n\r\n(.*)$")
        return body and (chunked and body:sub(-5) == "0\r\n\r\n" or #body == size)
      end)
      -- The last chunk says that all is there; nothing hangs on the empty line behind it.
      local least = chunked and total - 2 or total
      local client_opts = { max_retries = 0, resume = false, stall_timeout = 5 }
      for at = 0, least - 1, step do
        fault.at, fault.cut, fault.times = "file", at, "always"
        t.service:fail(fault)
        local file, err = client:download(job, out, client_opts)
        t.service:clear()
        if file then error(("cut after %d of %d bytes, yet it succeeded"):format(at, total)) end
        assert.same({}, fixture.files(t.folder))
        assert.equal("network", err.kind, ("cut after %d bytes: %s"):format(at, tostring(err)))
      end
      local file, err = client:download(job, out, client_opts)
      right(file, err, bytes)
    end

    it("there is no file, wherever it was cut", function()
      cut_everywhere({}, 600, 1)
    end)

    it("there is no file, wherever it was reset", function()
      cut_everywhere({ with = "rst" }, 600, 7)
    end)

    it("in chunks there is no file, wherever it was cut", function()
      cut_everywhere({ framing = "chunked" }, 600, 1)
    end)

    it("there is no file when fewer bytes come than were announced", function()
      local job = result_of(t, 1000)
      t.service:fail { at = "file", length = 10, drip = { bytes = 5000, every = 0.01 } }
      local err = refused(t.client():download(job, out, { max_retries = 0, resume = false,
        stall_timeout = 0.2 }))
      assert.equal("stalled", err.name)
    end)

    it("there is no file when the answer does not say where it ends", function()
      local job = result_of(t, 1000)
      t.service:fail { at = "file", framing = "none" }
      local err = refused(t.client():download(job, out, ONCE))
      assert.equal("length_unknown", err.name)
    end)

    it("there is no file when only the end of the connection is to end it", function()
      for _, coding in ipairs { "identity", "gzip", "chunked, identity" } do
        local job = result_of(t, 3000)
        t.service:fail { at = "file", framing = "none", cut = 2000,
          headers = { ["Transfer-Encoding"] = coding } }
        refused(t.client():download(job, out, ONCE))
      end
    end)
  end)

  describe("of an answer that is no video", function()
    for what, fault in pairs {
      ["a page"] = { raw = "<html>Welcome</html>", content_type = "text/html" },
      ["a page with a character set"] = { raw = "Welcome", content_type = "text/html; charset=x" },
      ["an error document"] = { raw = '{"code":1000}', content_type = "application/json" },
      ["a storage error"] = { raw = "<Error/>", content_type = "application/xml" },
      ["no bytes at all"] = { raw = "" },
    } do
      it("refuses " .. what, function()
        local job = result_of(t, 1000)
        fault.at = "file"
        t.service:fail(fault)
        local err = refused(t.client():download(job, out, ONCE))
        assert.equal("not_a_video", err.name)
      end)
    end

    it("asks again before it gives up on a page", function()
      local job, bytes = result_of(t, 1000)
      t.service:fail { at = "file", raw = "<html/>", content_type = "text/html" }
      local file, err = t.client():download(job, out)
      right(file, err, bytes)
    end)

    it("repeats what a gateway refused for the moment", function()
      local job, bytes = result_of(t, 1000)
      t.service:fail { at = "file", status = 503, skip = 0 }
      local file, err = t.client():download(job, out)
      right(file, err, bytes)
      assert.equal(2, #requests(t))
    end)
  end)

  describe("with max_bytes", function()
    for how, framing in pairs { ["announced"] = false, ["as it streams"] = "chunked" } do
      it("refuses a longer result, " .. how, function()
        local job = result_of(t, 100000)
        t.service:fail { at = "file", framing = framing or nil, delay = 0 }
        local err = refused(t.client():download(job, out, { max_bytes = 99999 }))
        assert.equal("answer_too_large", err.name)
        assert.equal(1, #requests(t))
      end)
    end

    it("takes a result of just that length", function()
      local job, bytes = result_of(t, 100000)
      local file, err = t.client():download(job, out, { max_bytes = 100000 })
      right(file, err, bytes)
    end)
  end)

  describe("that was interrupted", function()
    local SIZE, CUT = 200000, 120000

    it("goes on by itself where it stopped, if the file is still the same", function()
      local job, bytes = result_of(t, SIZE)
      t.service:fail { at = "file", cut = CUT }
      local file, err = t.client():download(job, out)
      right(file, err, bytes)
      local seen = requests(t)
      assert.equal(2, #seen)
      assert.is_nil(seen[1].headers.range)
      assert.is_nil(seen[1].headers["if-range"])
      local from = tonumber(seen[2].headers.range:match("^bytes=(%d+)%-$"))
      assert.is_true(from > 0 and from <= CUT)
      assert.equal(('"%s-%x"'):format(job.id, SIZE), seen[2].headers["if-range"])
      assert.equal(1, #t.events_of("retry"))
    end)

    it("goes on after several interruptions", function()
      local job, bytes = result_of(t, SIZE)
      t.service:fail { at = "file", cut = 50000, times = 3, with = "rst", drip = { bytes = 9000 } }
      local file, err = t.client():download(job, out, { max_retries = 3 })
      right(file, err, bytes)
      local last = -1
      for _, request in ipairs(requests(t)) do
        local from = tonumber((request.headers.range or "bytes=0-"):match("(%d+)%-"))
        assert.is_true(from > last)
        last = from
      end
    end)

    it("endures any number of interruptions as long as each piece brings a megabyte", function()
      local job, bytes = result_of(t, 4 * 1024 * 1024)
      t.service:fail { at = "file", cut = 1200 * 1024, times = "always" }
      local file, err = t.client():download(job, out, { max_retries = 1 })
      right(file, err, bytes)
      assert.equal(4, #requests(t))
      t.service:clear()
      t.service:fail { at = "file", cut = 700 * 1024, times = "always" } -- these count
      assert.is_nil((t.client():download(job, t.path("other.mp4"), { max_retries = 1 })))
    end)

    it("goes on in a later call with what the first one left", function()
      local job, bytes = result_of(t, SIZE)
      t.service:fail { at = "file", cut = CUT }
      local file, err = t.client():download(job, out, { max_retries = 0 })
      assert.is_nil(file)
      assert.equal("network", err.kind)
      assert.is_false(exists(out))
      local size = lfs.attributes(out .. ".part", "size")
      assert.equal(bytes:sub(1, size), fixture.read(out .. ".part"))
      file, err = t.client():download(job, out)
      right(file, err, bytes)
      assert.equal(("bytes=%d-"):format(size), requests(t)[2].headers.range)
    end)

    it("goes on after the process that began it was killed", function()
      local job, bytes = result_of(t, SIZE)
      t.service:fail { at = "file", drip = { bytes = 4000, every = 0.02 } }
      local path = program(t, "client:download(%q, %q)", job.id, out)
      local gone
      local process, pid = uv.spawn(uv.exepath(), { args = { path } }, function() gone = true end)
      assert.is_true(turn_until(function()
        return (lfs.attributes(out .. ".part", "size") or 0) > 20000
      end))
      uv.kill(pid, "sigkill")
      assert.is_true(turn_until(function() return gone end))
      process:close()
      uv.run("nowait")
      os.remove(path)
      assert.is_false(exists(out))
      local size = lfs.attributes(out .. ".part", "size")
      assert.is_true(size < SIZE)

      local file, err = t.client():download(job, out)
      right(file, err, bytes)
      assert.equal(("bytes=%d-"):format(size), requests(t)[2].headers.range)
    end)

    -- What the server shows first, and says after that; the rest of other bytes must not be added
    -- to what came before.
    local OTHER = ("other bytes "):rep(20000)
    for what, case in pairs {
      ["the file changed in between"] = { { etag = '"before"' } },
      ["all the server gives is a weak ETag"] = { { etag = 'W/"weak"' }, no_range = true },
      ["the server gives no ETag"] = { { etag = false }, no_range = true },
      ["the server ignores the range"] = { {}, { norange = true } },
      ["the server sends another range"] = { {}, { wrong_range = true }, requests = 3 },
      ["the server has no such range"] = { {}, { status = 416 }, requests = 3 },
    } do
      it("starts again when " .. what, function()
        local job, bytes = result_of(t, SIZE)
        local first = { at = "file", cut = CUT, raw = OTHER }
        for k, v in pairs(case[1]) do first[k] = v end
        t.service:fail(first)
        if case[2] then
          case[2].at = "file"
          t.service:fail(case[2])
        end
        local file, err = t.client():download(job, out)
        right(file, err, bytes)
        local seen = requests(t)
        assert.equal(case.requests or 2, #seen)
        assert.equal(case.no_range, seen[2].headers.range == nil or nil)
        assert.is_nil(seen[3] and seen[3].headers.range)
      end)
    end

    it("starts again when the rest is another file's, which If-Range should prevent", function()
      local job, bytes = result_of(t, SIZE)
      t.service:fail { at = "file", cut = CUT, raw = OTHER:sub(1, SIZE), etag = '"before"' }
      local file, err = t.client():download(job, out, { max_retries = 0 })
      assert.is_nil(file)
      assert.equal("network", err.kind)
      local from = lfs.attributes(out .. ".part", "size")
      assert.is_true(from > 0)
      t.service:fail { at = "file", status = 206, raw = bytes:sub(from + 1), headers = {
        ["Content-Range"] = ("bytes %d-%d/%d"):format(from, SIZE - 1, SIZE),
        ["Content-Type"] = "video/mp4", ETag = '"after"',
      } }
      file, err = t.client():download(job, out)
      right(file, err, bytes)
      local seen = requests(t)
      assert.equal(3, #seen)
      assert.equal('"before"', seen[2].headers["if-range"])
      assert.is_nil(seen[3].headers.range)
    end)

    it("leaves nothing that nobody could go on with", function()
      local job = result_of(t, SIZE)
      t.service:fail { at = "file", cut = CUT, etag = 'W/"weak"' }
      local err = refused(t.client():download(job, out, { max_retries = 0 }))
      assert.equal("network", err.kind)
    end)

    it("leaves nothing with resume = false", function()
      local job = result_of(t, SIZE)
      t.service:fail { at = "file", cut = CUT }
      refused(t.client():download(job, out, ONCE))
    end)

    it("keeps its part while the way to the rest is misspelt", function()
      local client = assert(core.client("http://203.0.113.7", true))
      assert(client:credentials("api_key", fixture.secrets.api_key))
      local given = { allow_http = true, proxy = "bad://x" }
      local settings = options.settings(options.merge(nil, given))
      write(out .. ".part", "what came so far")
      write(out .. ".part.etag", '"strong"')
      local url = "http://203.0.113.7/x.mp4"
      local kind, err = loop.next(assert(client:download(settings, url, out)))
      assert.equal("failed", kind)
      assert.equal("bad_proxy", err.name)
      assert.equal("what came so far", fixture.read(out .. ".part"))
      assert.equal('"strong"', fixture.read(out .. ".part.etag"))
    end)

    it("takes nothing from a part of unknown origin", function()
      local job, bytes = result_of(t, SIZE)
      for _, size in ipairs { 10, SIZE, 2 * SIZE } do
        for _, note in ipairs { "", '"unterminated', 'W/"weak"', '"of another file"', "\0\255" } do
          write(out .. ".part", ("x"):rep(size))
          write(out .. ".part.etag", note)
          local file, err = t.client():download(job, out)
          right(file, err, bytes)
          os.remove(out)
        end
      end
    end)

    it("starts again when the part is longer than the file", function()
      local job, bytes = result_of(t, SIZE)
      write(out .. ".part", ("x"):rep(SIZE + 1))
      write(out .. ".part.etag", ('"%s-%x"'):format(job.id, SIZE))
      local file, err = t.client():download(job, out, { max_retries = 0 }) -- it is no failure
      right(file, err, bytes)
      assert.equal(2, #requests(t))
    end)

    it("takes a part that is the whole file: it only was not named any more", function()
      local job, bytes = result_of(t, SIZE)
      write(out .. ".part", bytes)
      write(out .. ".part.etag", ('"%s-%x"'):format(job.id, SIZE))
      local file, err = t.client():download(job, out, { max_retries = 0 })
      right(file, err, bytes)
      assert.equal(1, #requests(t))
      assert.equal("bytes=" .. SIZE .. "-", requests(t)[1].headers.range)
    end)

    it("starts again when the part is as long as the file, and perhaps of another one", function()
      for _, etag in ipairs { '"another"', false } do
        local job, bytes = result_of(t, SIZE)
        write(out .. ".part", ("x"):rep(SIZE))
        write(out .. ".part.etag", ('"%s-%x"'):format(job.id, SIZE))
        t.service:fail { at = "file", status = 416, headers = {
          ["Content-Range"] = "bytes */" .. SIZE, ETag = etag or nil } }
        local file, err = t.client():download(job, out, { max_retries = 0 })
        right(file, err, bytes)
        os.remove(out)
      end
    end)

    it("does not start again for ever", function()
      local job = result_of(t, SIZE)
      write(out .. ".part", ("x"):rep(SIZE))
      write(out .. ".part.etag", ('"%s-%x"'):format(job.id, SIZE))
      t.service:fail { at = "file", status = 416, times = "always" }
      local file, err = t.client():download(job, out, { max_retries = 0 })
      assert.is_nil(file)
      assert.equal(416, err.http_status)
      assert.equal(2, #requests(t))
    end)
  end)

  describe("by an address that is no longer good", function()
    for _, status in ipairs { 403, 404, 410 } do
      it(("asks once for a fresh one after HTTP %d"):format(status), function()
        local job, bytes = result_of(t, 1000)
        job.video = t.service.url .. "/results/gone.mp4"
        t.service:fail { at = "file", status = status }
        local infos = t.service:count("info")
        local file, err = t.client():download(job, out)
        right(file, err, bytes)
        assert.equal(infos + 1, t.service:count("info"))
      end)
    end

    it("says that the result is gone when there is none", function()
      local job = result_of(t, 1000)
      t.service:advance(8 * 24 * 3600)
      local infos = t.service:count("info")
      local err = refused(t.client():download(job, out))
      assert.equal("expired", err.kind)
      assert.equal("result_expired", err.name)
      assert.equal(job.id, err.job.id)
      assert.equal(infos + 1, t.service:count("info"))
    end)

    it("asks no more than once, even if the fresh one is no better", function()
      local job = result_of(t, 1000)
      job.video = t.service.url .. "/results/gone.mp4"
      t.service:fail { at = "file", expired = true, times = "always" }
      local infos = t.service:count("info")
      local err = refused(t.client():download(job, out))
      assert.equal("expired", err.kind)
      assert.equal(infos + 1, t.service:count("info"))
      assert.equal(2, #requests(t))
    end)
  end)

  describe("to a name that is taken", function()
    it("keeps the file that is there and asks for nothing", function()
      local job = result_of(t, 1000)
      write(out, "precious")
      local file, err = t.client():download(job, out)
      assert.is_nil(file)
      assert.equal("io", err.kind)
      assert.equal("file_exists", err.name)
      assert.equal("precious", fixture.read(out))
      assert.same({ "out.mp4" }, fixture.files(t.folder))
      assert.equal(0, #requests(t))
    end)

    it("replaces it with overwrite = true", function()
      local job, bytes = result_of(t, 1000)
      write(out, "replace me")
      local file, err = t.client():download(job, out, { overwrite = true })
      right(file, err, bytes)
    end)

    it("keeps it with overwrite = true until the new one is whole", function()
      local job = result_of(t, 1000)
      write(out, "precious")
      t.service:fail { at = "file", cut = 700 }
      assert.is_nil((t.client():download(job, out, { overwrite = true, max_retries = 0,
        resume = false })))
      assert.equal("precious", fixture.read(out))
      assert.same({ "out.mp4" }, fixture.files(t.folder))
    end)

    it("keeps it even if an earlier download died before its part lost its name", function()
      local job, bytes = result_of(t, 200000)
      assert(t.client():download(job, out))
      for _, resume in ipairs { true, false } do
        assert(lfs.link(out, out .. ".part"))
        write(out .. ".part.etag", ('"%s-%x"'):format(job.id, #bytes))
        t.service:fail { at = "file", raw = ("other bytes "):rep(5000), cut = 40000 }
        local file, err = t.client():download(job, out, { overwrite = true, max_retries = 0,
          resume = resume })
        assert.is_nil(file)
        assert.equal("network", err.kind)
        assert.is_true(fixture.read(out) == bytes, "the file was written to")
        os.remove(out .. ".part")
      end
    end)

    it("is made, and keeps a file that appears meanwhile, where files have one name", function()
      local environment, library = preload("no_links", t.folder)
      environment.AKOOL_API_KEY, environment.AKOOL_BASE_URL = fixture.secrets.api_key, t.service.url
      local id = result_of(t, 60000).id
      t.service:fail { at = "file", skip = 1, drip = { bytes = 3000, every = 0.02 } }
      local said = child.run(([[
        local lipsync = require "akool.lipsync"
        local id, folder = %q, %q
        print(lipsync.download(id, folder .. "/first.mp4").bytes)
        local _, err = lipsync.download(id, folder .. "/second.mp4", { on_progress = function()
          local file = io.open(folder .. "/second.mp4", "w")
          file:write "appeared"
          file:close()
        end })
        print(err.name)
      ]]):format(id, t.folder), { environment = environment })
      os.remove(library)
      assert.equal("60000\nfile_exists\n", said)
      assert.equal("appeared", fixture.read(t.path "second.mp4"))
      assert.same({ "first.mp4", "second.mp4" }, fixture.files(t.folder))
    end)

    it("keeps a file that appears while it downloads", function()
      local job = result_of(t, 60000)
      t.service:fail { at = "file", drip = { bytes = 3000, every = 0.02 } }
      local file, err = t.client():download(job, out, {
        on_progress = function() write(out, "appeared") end,
      })
      assert.is_nil(file)
      assert.equal("file_exists", err.name)
      assert.equal("appeared", fixture.read(out))
      assert.same({ "out.mp4" }, fixture.files(t.folder))
    end)

    it("takes a link that leads nowhere for taken", function()
      local job = result_of(t, 1000)
      assert(lfs.link(t.path("nowhere"), out, true))
      local file, err = t.client():download(job, out)
      assert.is_nil(file)
      assert.equal("file_exists", err.name)
      assert.equal(0, #requests(t))
      assert.same({ "out.mp4" }, fixture.files(t.folder))
    end)

    it("lets one of two downloads win and tells the other that it is busy", function()
      local job, bytes = result_of(t, 60000)
      t.service:fail { at = "file", drip = { bytes = 3000, every = 0.02 } }
      local client = t.client()
      local files, errors = lipsync.map({ 1, 2 }, function() return client:download(job, out) end)
      local won = files[1] and 1 or 2
      right(files[won], errors[won], bytes)
      assert.is_nil(files[3 - won])
      assert.equal("io", errors[3 - won].kind)
      assert.equal("file_busy", errors[3 - won].name)
      assert.equal(1, #requests(t))
    end)

    it("knows of a download in another process", function()
      local job, bytes = result_of(t, 60000)
      t.service:fail { at = "file", drip = { bytes = 3000, every = 0.02 } }
      local client, said = t.client(), nil
      local file, err = client:download(job, out, { on_progress = function()
        said = said or run(program(t, "print(select(2, client:download(%q, %q)).name)", job.id,
          out))
      end })
      right(file, err, bytes)
      assert.equal("file_busy\n", said)
    end)
  end)

  it("says why there can be no file", function()
    local job = result_of(t, 1000)
    for path, words in pairs { [t.folder] = "not a regular file but a folder",
      ["/dev/full"] = "not a regular file but a device", [t.path "new/"] = "does not name a file",
      [t.path "no/out.mp4"] = "out.mp4.part cannot be written: the folder does not exist",
      [t.path(("n"):rep(252))] = ".part cannot be written: File name too long",
      [t.path(("n"):rep(300))] = "nnn cannot be used: File name too long" } do
      local err = refused(t.client():download(job, path))
      assert(err.message:find(words, 1, true), err.message)
    end
  end)

  describe("to a place where no file can be", function()
    local cases = {
      ["a folder"] = function() return t.folder end,
      ["a folder that does not exist"] = function() return t.path("no/out.mp4") end,
      ["a file as if it were a folder"] = function() return out .. "/out.mp4" end,
      ["a file system that makes no files"] = function() return "/proc/out.mp4" end,
      ["a device"] = function() return "/dev/full" end,
      ["a name with a zero byte"] = function() return out .. "\0.mp4" end,
      ["an empty name"] = function() return "" end,
      ["a name that ends in a slash"] = function() return t.path("new") .. "/" end,
      ["a name of 300 bytes"] = function() return t.path(("n"):rep(300)) end,
      ["a name with no room for .part"] = function() return t.path(("n"):rep(252)) end,
    }
    for what, path in pairs(cases) do
      for _, overwrite in ipairs { false, true } do
        it(("refuses %s%s"):format(what, overwrite and " even with overwrite" or ""), function()
          local job = result_of(t, 1000)
          write(out, "a file")
          local file, err = t.client():download(job, path(), { overwrite = overwrite })
          assert.is_nil(file)
          assert.equal("io", err.kind)
          assert.equal("file_unusable", err.name)
          assert.same({ "out.mp4" }, fixture.files(t.folder))
          assert.equal("a file", fixture.read(out))
          assert.equal(0, #requests(t))
        end)
      end
    end

    it("goes where the caller says, upwards too", function()
      assert(lfs.mkdir(t.path("folder")))
      local job, bytes = result_of(t, 1000)
      assert(t.client():download(job, t.path("folder/../up.mp4")))
      assert.equal(bytes, fixture.read(t.path("up.mp4")))
      assert.same({ "folder", "up.mp4" }, fixture.files(t.folder))
    end)

    it("replaces a link that has the final name, and not what it leads to", function()
      local job, bytes = result_of(t, 1000)
      write(t.path("target"), "precious")
      assert(lfs.link(t.path("target"), out, true))
      local file, err = t.client():download(job, out)
      assert.is_nil(file)
      assert.equal("file_exists", err.name)
      assert(t.client():download(job, out, { overwrite = true }))
      assert.equal("precious", fixture.read(t.path("target")))
      assert.equal("file", lfs.symlinkattributes(out, "mode"))
      assert.equal(bytes, fixture.read(out))
    end)

    it("makes files that are no more open than the program's umask lets them be", function()
      local job = result_of(t, 100000)
      for umask, wanted in pairs { ["077"] = "rw-------", ["022"] = "rw-r--r--" } do
        t.service:fail { at = "file", cut = 40000 }
        local said = run(program(t, "print(client:download(%q, %q, { max_retries = 0 }))", job.id,
          out), ([[sh -c 'umask %s; exec "$@"' sh]]):format(umask))
        assert.is_truthy(said:find("answer_cut_short", 1, true), said)
        for _, name in ipairs { "out.mp4.part", "out.mp4.part.etag" } do
          assert.equal(wanted, lfs.attributes(t.path(name), "permissions"))
          os.remove(t.path(name))
        end
        run(program(t, "assert(client:download(%q, %q))", job.id, out),
          ([[sh -c 'umask %s; exec "$@"' sh]]):format(umask))
        assert.equal(wanted, lfs.attributes(out, "permissions"))
        os.remove(out)
      end
    end)

    it("does not write through a link that stands in the way of the part", function()
      local job = result_of(t, 1000)
      write(t.path("target"), "precious")
      assert(lfs.link(t.path("target"), out .. ".part", true))
      local file, err = t.client():download(job, out)
      assert.is_nil(file)
      assert.equal("file_unusable", err.name)
      assert.equal("precious", fixture.read(t.path("target")))
      assert.is_false(exists(out))
    end)

    it("does not write through a link that stands in the way of the note", function()
      local job, bytes = result_of(t, 1000)
      write(t.path("target"), "precious")
      assert(lfs.link(t.path("target"), out .. ".part.etag", true))
      t.service:fail { at = "file", cut = 700 }
      assert.is_nil((t.client():download(job, out, { max_retries = 0 })))
      assert.equal("link", lfs.symlinkattributes(out .. ".part.etag", "mode")) -- it is not ours
      assert(t.client():download(job, out))
      assert.equal(bytes, fixture.read(out))
      assert.equal("precious", fixture.read(t.path("target")))
    end)

    it("does not write to a part that is another file's second name", function()
      local job, bytes = result_of(t, 1000)
      write(t.path("other"), "precious")
      assert(lfs.link(t.path("other"), out .. ".part"))
      assert(t.client():download(job, out))
      assert.equal(bytes, fixture.read(out))
      assert.equal("precious", fixture.read(t.path("other")))
      assert.same({ "other", "out.mp4" }, fixture.files(t.folder))
    end)

    it("does not wait for a pipe that stands in the way of the part", function()
      local job = result_of(t, 1000)
      shell.must_run("mkfifo '%s'", out .. ".part")
      local file, err = t.client():download(job, out)
      assert.is_nil(file)
      assert.equal("file_unusable", err.name)
    end)
  end)

  describe("to a disk that is full", function()
    local SAY = [[
      local file, err = client:download(%q, %q, { max_retries = 0 })
      print(file, err.kind, err.name, err.http_status, err.message:match "download again")
    ]]

    it("fails and leaves no part", function()
      local job = result_of(t, 300000)
      local said = run(program(t, SAY, job.id, out),
        [[sh -c 'trap "" XFSZ; ulimit -f 64; exec "$@"' sh]])
      assert.equal("nil\tio\twrite_failed\tnil\tdownload again\n", said)
      assert.same({}, fixture.files(t.folder))
    end)

    it("fails and leaves no part on a file system with no room", function()
      local mount = ("mount -t tmpfs -o size=64k tmpfs \"%s\""):format(t.folder)
      if not shell.succeeds("unshare -m sh -c '%s'", mount) then
        pending("only root can mount a small file system")
        return
      end
      local job = result_of(t, 300000)
      local said = run(program(t, SAY .. [[
        for name in require("lfs").dir(%q) do if name:find("%%w") then print(name) end end
      ]], job.id, out, t.folder), ([[unshare -m sh -c '%s; exec "$@"' sh]]):format(mount))
      assert.equal("nil\tio\twrite_failed\tnil\tdownload again\n", said)
    end)
  end)

  it("is whole though its folder cannot be synced, and is not told to be missing", function()
    local job, bytes = result_of(t, 100000)
    write(t.path("fsync.c"), [[
      #include <errno.h>
      #include <sys/stat.h>
      #include <unistd.h>
      int fsync(int fd) {
        struct stat st;
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
          (void)!write(2, "not synced\n", 11);
          errno = EIO;
          return -1;
        }
        return 0;
      }
    ]])
    shell.must_run("cc -shared -fPIC -o '%s' '%s'", t.path("fsync.so"), t.path("fsync.c"))
    local before = os.getenv "LD_PRELOAD" -- a sanitizer's library comes first
    local said = run(program(t, "print(assert(client:download(%q, %q)).bytes)", job.id, out),
      ("env LD_PRELOAD='%s'"):format((before and before .. " " or "") .. t.path("fsync.so")))
    assert.equal("not synced\n100000\n", said)
    assert.equal(bytes, fixture.read(out))
  end)

  describe("that is slow", function()
    it("ends when no byte comes for stall_timeout", function()
      local job = result_of(t, 1000)
      t.service:fail { at = "file", stall_at = 700 }
      t.service:fail { at = "file", stall_at = 700 }
      for _, window in ipairs { 0.2, 0.05 } do -- in the second not one byte is too few
        local started = uv.hrtime()
        local err = refused(t.client():download(job, out, { max_retries = 0, resume = false,
          stall_timeout = window }))
        assert.equal("timeout", err.kind)
        assert.equal("stalled", err.name)
        assert.is_true((uv.hrtime() - started) / 1e9 < 5)
      end
    end)

    it("ends when next to nothing comes, though it never stops", function()
      local job = result_of(t, 100)
      -- 12.5 bytes a second: every window sees some, the headers' lines included
      t.service:fail { at = "file", drip = { bytes = 30, every = 2.4 } }
      local err = refused(t.client():download(job, out, { max_retries = 0, resume = false,
        stall_timeout = 2.5 }))
      assert.equal("stalled", err.name)
    end)

    it("goes on after a stall where it stopped", function()
      local job, bytes = result_of(t, 200000)
      t.service:fail { at = "file", stall_at = 120000 }
      local file, err = t.client():download(job, out, { stall_timeout = 0.2 })
      right(file, err, bytes)
      assert.is_string(requests(t)[2].headers.range)
    end)

    it("goes on for longer than stall_timeout while bytes come", function()
      local job, bytes = result_of(t, 2000)
      t.service:fail { at = "file", drip = { bytes = 60, every = 0.03 } }
      local started = uv.hrtime()
      local file, err = t.client():download(job, out, { max_retries = 0, timeout = 0.4,
        stall_timeout = 0.4 })
      right(file, err, bytes)
      assert.is_true((uv.hrtime() - started) / 1e9 > 0.4)
    end)
  end)

  describe("with on_progress", function()
    it("tells growing numbers and the length", function()
      local job, bytes = result_of(t, 60000)
      t.service:fail { at = "file", drip = { bytes = 2000, every = 0.02 } }
      local told, last = 0, 0
      local file, err = t.client():download(job, out, { on_progress = function(now, total)
        assert.is_true(now >= last and now <= #bytes)
        assert.equal(#bytes, total)
        told, last = told + 1, now
      end })
      right(file, err, bytes)
      assert.is_true(told >= 2 and last > 0)
    end)

    it("tells no more often than ten times a second", function()
      local job = result_of(t, 60000)
      t.service:fail { at = "file", drip = { bytes = 1000, every = 0.01 } }
      local told, began = 0, core.now()
      assert(t.client():download(job, out, { on_progress = function() told = told + 1 end }))
      assert.is_true(told <= (core.now() - began) * 10 + 1, told)
    end)

    it("counts what an earlier download left", function()
      local job = result_of(t, 200000)
      t.service:fail { at = "file", cut = 120000 }
      assert.is_nil((t.client():download(job, out, { max_retries = 0 })))
      local size, first = lfs.attributes(out .. ".part", "size"), nil
      assert(t.client():download(job, out, { on_progress = function(now, total)
        first = first or now
        assert.equal(200000, total)
      end }))
      assert.is_true(first > size)
    end)

    it("does not know the length of what comes in chunks", function()
      local job = result_of(t, 60000)
      t.service:fail { at = "file", framing = "chunked", drip = { bytes = 5000, every = 0.02 } }
      local told = 0
      assert(t.client():download(job, out, { on_progress = function(_, total)
        assert.is_nil(total)
        told = told + 1
      end }))
      assert.is_true(told > 0)
    end)

    it("raises what it raises, and stops", function()
      local job, bytes = result_of(t, 60000)
      t.service:fail { at = "file", drip = { bytes = 2000, every = 0.02 } }
      local client, mine = t.client(), {}
      local ok, why = pcall(client.download, client, job, out, {
        on_progress = function() error(mine) end,
      })
      assert.is_false(ok)
      assert.equal(mine, why)
      assert.is_false(exists(out))
      assert.equal(0, core.engine():stats().calls)
      local file, err = client:download(job, out)
      right(file, err, bytes)
    end)
  end)

  it("takes no more memory for a long result than for a short one", function()
    local size = 200 * 1024 * 1024
    local short, long = result_of(t, 1024 * 1024), t.completed()
    assert(t.service:set(long.id, { bytes = size }))
    local said = run(program(t, [[
      local function peak()
        local status = assert(io.open("/proc/self/status")):read("*a")
        return tonumber(status:match("VmHWM:%%s*(%%d+) kB"))
      end
      local opts = { overwrite = true, on_progress = function() end }
      assert(client:download(%q, %q, opts))
      local before = peak()
      local file = assert(client:download(%q, %q, opts))
      print(file.bytes, peak() - before)
    ]], short.id, out, long.id, out))
    local bytes, growth = said:match("^(%d+)\t(%d+)\n$")
    assert.equal(size, tonumber(bytes), said)
    assert.is_true(tonumber(growth) < 8 * 1024, growth .. " kB more")
  end)
end)

describe("client:generate", function()
  local t = fixture.new()

  it("makes a job, follows it and brings its result", function()
    local out, statuses = t.path("out.mp4"), {}
    local file = assert(t.client():generate({ video_url = t.video, audio_url = t.audio }, out, {
      on_status = function(status)
        statuses[#statuses + 1] = status
        t.service:advance(10)
      end,
    }))
    assert.same({ "queueing", "processing", "completed" }, statuses)
    assert.equal(out, file.path)
    assert.equal(sha256sum("examples/media/clip.mp4"), file.sha256)
    assert.equal(file.sha256, sha256sum(out))
    assert.same({ "out.mp4" }, fixture.files(t.folder))
    assert.equal(1, t.service:count("create"))
  end)

  for what, make in pairs {
    ["a file that exists"] = function(path) write(path, "precious") return path end,
    ["a folder that does not exist"] = function(path) return path .. "/no/out.mp4" end,
    ["a link that leads nowhere"] = function(path)
      assert(lfs.link(path .. ".nowhere", path, true))
      return path
    end,
    ["a device"] = function() return "/dev/full" end,
    ["an empty name"] = function() return "" end,
    ["a name with a zero byte"] = function(path) return path .. "\0" end,
  } do
    it("pays for nothing when the result would go to " .. what, function()
      local path = make(t.path("out.mp4"))
      local file, err = t.client():generate({ video_url = t.video, audio_url = t.audio }, path, {
        wait_timeout = 0.1, -- for the case that it does pay
      })
      assert.is_nil(file)
      assert.equal("io", err.kind)
      assert.same({}, t.service:requests())
    end)
  end

  it("tells of the job as soon as it is created, and of each status once", function()
    local told = {}
    assert(t.client():generate({ video_url = t.video, audio_url = t.audio }, t.path("out.mp4"), {
      on_status = function(status, job)
        told[#told + 1] = status
        assert.equal(t.service:jobs()[1]._id, job.id)
        if #told == 1 then assert.equal(0, t.service:count "info") end
        t.service:advance(10)
      end,
    }))
    assert.same({ "queueing", "processing", "completed" }, told)
  end)

  it("leaves nothing of its trial of the path when the create is refused", function()
    t.service:fail { at = "create", code = 1104 }
    local _, err = t.client():generate({ video_url = t.video, audio_url = t.audio },
      t.path("out.mp4"))
    assert.equal(1104, err.code)
    assert.same({}, fixture.files(t.folder))
  end)

  it("tells which job was paid for when its result's address is refused", function()
    for _, url in ipairs { "http://example.com/x.mp4", "http://10.0.0.1/x.mp4" } do
      t.service:reset()
      local file, err = t.client():generate({ video_url = t.video, audio_url = t.audio },
        t.path("out.mp4"), { on_status = function(status, job)
          if status == "queueing" then
            t.service:set(job.id, { video = url })
            t.service:advance(60)
          end
        end })
      assert.is_nil(file)
      assert.equal("protocol", err.kind)
      assert.equal("bad_result_url", err.name)
      assert.equal(t.service:jobs()[1]._id, err.job.id)
    end
  end)

  it("tells which job was paid for when its result cannot be had", function()
    t.service:fail { at = "file", cut = 300, times = "always" }
    local file, err = t.client():generate({ video_url = t.video, audio_url = t.audio },
      t.path("out.mp4"), { max_retries = 0, resume = false,
        on_status = function() t.service:advance(60) end })
    assert.is_nil(file)
    assert.equal("network", err.kind)
    assert.equal(t.service:jobs()[1]._id, err.job.id)
    assert.same({}, fixture.files(t.folder))
  end)
end)
