-- downloads: fresh, and resumed where an earlier one stopped.

local tools = require "scenarios.tools"

local scenario = tools.scenario
local client_with_job = tools.client_with_job
local is_file = tools.is_file

--- After a download that failed the same download works, and leaves one whole file.
local function download_again(context, client, job)
  return function()
    local path = context.folder .. "/out.mp4"
    is_file(assert(client:download(job, path, { overwrite = true })))
    local f = io.open(path .. ".part")
    assert(not f, "a part was left behind")
  end
end

scenario("download", {
  prepare = function(context)
    local client, job = client_with_job(context)
    job = assert(client:info(job))
    require "akool.lipsync.core".engine():close()
    return {
      act = function() return client:download(job, context.folder .. "/out.mp4") end,
      expect = is_file,
      afterwards = download_again(context, client, job),
    }
  end,
})

scenario("download resumed", {
  arrange = function(service)
    assert(service:fail { at = "file", cut = tools.some })
  end,
  prepare = function(context)
    local client, job = client_with_job(context)
    job = assert(client:info(job))
    local path, first = context.folder .. "/out.mp4", nil
    local _, err = client:download(job, path)
    assert(err.name == "cut_short" or err.kind == "network", err)
    local part = assert(io.open(path .. ".part"))
    assert(part:seek("end") > 0)
    part:close()
    require "akool.lipsync.core".engine():close()
    return {
      act = function()
        return client:download(job, path, { on_progress = function(bytes)
          first = first or bytes
        end })
      end,
      expect = is_file,
      afterwards = download_again(context, client, job),
    }
  end,
})

scenario("copy", {
  prepare = function(context)
    local client, job = client_with_job(context)
    local core = require "akool.lipsync.core"
    local path, copy = context.folder .. "/out.mp4", context.folder .. "/copy.mp4"
    assert(client:download(assert(client:info(job)), path, { overwrite = true }))
    os.remove(copy)
    core.engine():close()
    return {
      act = function() return core.copy(client.settings, path, copy) end,
      expect = is_file,
      afterwards = function()
        os.remove(copy)
        is_file(assert(core.copy(client.settings, path, copy)))
        assert(not io.open(copy .. ".part"), "a part was left behind")
      end,
    }
  end,
})
