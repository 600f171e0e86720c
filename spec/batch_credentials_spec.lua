-- A batch and the credentials of its client: it needs them only to run, and goes on when they end or are
-- refused.

local batches = require "support.batches"
local child = require "support.child"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"

describe("A batch", function()
  local t = batches.new { queue = 5, process = 10 }

  it("asks for credentials again when the service refuses them", function()
    local keys = { ("x"):rep(20), fixture.secrets.api_key }
    local asked = 0
    local client = t.client { max_retries = 0, api_key = function()
      asked = asked + 1
      return keys[math.min(asked, #keys)]
    end }
    local b = t.batch(nil, { client = client })
    b:add(t.films(3))
    assert.equal(3, assert(t.run(b, { submitted = function() t.service:advance(20) end })).done)
    assert.equal(3, #t.service:jobs())
  end)

  it("asks for them before it follows what an earlier run left", function()
    local b = t.batch()
    b:add(t.films(2))
    assert(t.run(b, { submitted = function() b:stop() end }))
    t.service:advance(20)
    local asked = 0
    local client = t.client { max_retries = 0, api_key = function()
      asked = asked + 1
      return fixture.secrets.api_key
    end }
    local done = assert(t.run(t.batch(nil, { client = client }))).done
    assert.is_true(done > 0)
    assert.is_true(asked > 0)
  end)

  it("goes no further without any", function()
    local b = t.batch(nil, { concurrency = 1 })
    b:add(t.films(2))
    assert(t.run(b, { submitted = function() b:stop() end }))
    local client = t.client { max_retries = 0, api_key = function() end }
    local summary = assert(t.run(t.batch(nil, { client = client })))
    assert.equal("no_credentials", summary.stopped.name)
    assert.equal("submitted planned", t.states(b))
  end)

  it("goes on with a token that ends while jobs are followed", function()
    local client = t.client { max_retries = 0, client_id = fixture.secrets.client_id,
      client_secret = fixture.secrets.client_secret }
    local b = t.batch(nil, { client = client })
    b:add(t.films(2))
    assert.equal(2, assert(t.run(b, { submitted = function()
      t.service:expire_tokens()
      t.service:advance(20)
    end })).done)
  end)

  it("needs credentials only to run, and finds them in the environment", function()
    local code = ([[
      local batch = require "akool.lipsync.batch"
      local b = assert(batch.open(%q, { output_dir = %q }))
      b:add { key = "f1", video_url = %q, audio_url = %q }
      local summary, err = b:run()
      print(b:status().total, summary and summary.done, err and err.name)
      b:close()
    ]]):format(t.path "jobs.db", t.films_folder, t.video, t.audio)
    assert.equal("1\tnil\tno_credentials\n", (child.run(code, { bare = true })))
    lipsync.run(function()
      local path = child.script(code, t.path "program.lua")
      local ends = child.start(path, { bare = true, environment = {
        AKOOL_API_KEY = fixture.secrets.api_key, AKOOL_BASE_URL = t.service.url } })
      t.await(function() return #t.service:jobs() == 1 end)
      t.service:advance(20)
      assert.equal("1\t1\tnil\n", (ends()))
    end)
  end)
end)
