-- whole: TLS, errors of all sorts, and the workflows.

local tools = require "scenarios.tools"

local scenario = tools.scenario
local is_error = tools.is_error
local new_client = tools.new_client
local client_with_job = tools.client_with_job
local ask_again = tools.ask_again
local is_job = tools.is_job
local is_file = tools.is_file
local is_true = tools.is_true

scenario("tls", {
  prepare = function(context)
    local client = new_client(context, { base_url = context.tls, ca_file = context.ca_file })
    return {
      act = function()
        local found, err = client:info(("0"):rep(24))
        if not found then return nil, err end
        -- A create has a connection of its own, so this is a second handshake.
        found, err = client:create { video_url = tools.video, audio_url = tools.audio }
        if not found then return nil, err end
        return client:info(found)
      end,
      expect = is_job,
      afterwards = ask_again(client),
    }
  end,
})

scenario("tls refused", {
  prepare = function(context)
    local client = new_client(context, { base_url = context.tls })
    return {
      act = function()
        local found, err = client:info(("0"):rep(24))
        assert(found == nil, "a certificate that nobody trusts was good enough")
        if err.kind == "tls" and err.name == "certificate_unknown_issuer" then return true end
        return nil, err
      end,
      expect = is_true,
      afterwards = ask_again(new_client(context)),
    }
  end,
})

local REFUSALS = { -- what the service does, and the kind of error that this is
  { { code = 1204, msg = "the video is too long" }, "media" },
  { { code = 1104 }, "quota" },
  { { status = 403 }, "permission" },
  { { status = 500, body = "<html>" }, "server" },
  { { raw = "{" }, "protocol" },
  { { drop = { "video_status" } }, "protocol" },
  { { oversize = 1100000 }, "protocol" },
  { { cut = 40 }, "network" },
  { { reset = "after" }, "network" },
}

scenario("errors", {
  arrange = function(service)
    for _, refusal in ipairs(REFUSALS) do
      local order = { at = "info" }
      for key, value in pairs(refusal[1]) do order[key] = value end
      assert(service:fail(order))
    end
  end,
  prepare = function(context)
    local client, job = client_with_job(context)
    local lipsync, core = require "akool.lipsync", require "akool.lipsync.core"
    return {
      act = function()
        for _, refusal in ipairs(REFUSALS) do
          local found, err = client:info(job)
          assert(found == nil and is_error(err))
          if err.kind ~= refusal[2] then return nil, err end
        end
        for _, cause in ipairs(core.causes()) do
          local err = core.error(cause.name, "It happened.", { job = { id = job.id } })
          assert(tostring(err):find(cause.name, 1, true) and #(err .. "!") > 0)
        end
        for _, code in ipairs(core.codes()) do assert(lipsync.explain(code.code).message) end
        local row, err = lipsync.explain(1)
        assert(row == nil and is_error(err))
        for _, url in ipairs { "", "clip.mp4", "ftp://example.com/clip.mp4", "https://a b/" } do
          row, err = client:create { video_url = url, audio_url = tools.audio }
          assert(row == nil and is_error(err))
        end
        return true
      end,
      expect = is_true,
      afterwards = ask_again(client),
    }
  end,
})

scenario("generate", {
  creates = true,
  prepare = function(context)
    local client = new_client(context)
    local lipsync, path = require "akool.lipsync", context.folder .. "/out.mp4"
    return {
      act = function()
        return lipsync.run(function()
          return client:generate({ video_url = tools.video, audio_url = tools.audio }, path,
            { on_status = function() end, on_progress = function() end })
        end)
      end,
      expect = is_file,
      afterwards = ask_again(client),
    }
  end,
})

scenario("map", {
  prepare = function(context)
    local client, job = client_with_job(context)
    local lipsync = require "akool.lipsync"
    return {
      act = function()
        local results, errors = lipsync.map({ 1, 2, 3, 4, 5 }, function(i)
          assert(lipsync.sleep(0.0001 * i))
          return client:info(job)
        end, { concurrency = 3 })
        for i = 1, 5 do
          assert(results[i] or errors[i], "an item has neither a result nor an error")
          if type(errors[i]) == "string" then error(errors[i], 0) end
          if errors[i] then return nil, errors[i] end
        end
        return results
      end,
      expect = function(results)
        for i = 1, 5 do is_job(results[i]) end
      end,
      afterwards = function()
        pcall(lipsync.step, 0.001) -- tasks that had no memory: raised once, to whoever drives them
        ask_again(client)()
      end,
    }
  end,
})
