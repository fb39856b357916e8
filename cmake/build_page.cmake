# Run by the build: makes SOURCE out of the folder WEB, in FOLDER, with NPM and NODE. Never fails: without the
# packages of the page SOURCE says that there are no files.
set(copy ${FOLDER}/web)
set(npm_patience 300) # seconds

function(write_no_files)
  file(WRITE ${SOURCE} "// There is no page in this build.
#include \"http/page.hpp\"

namespace dtranspose {

std::span<const page_file> built_page_files() { return {}; }

} // namespace dtranspose
")
endfunction()

file(REMOVE ${FOLDER}/made)
if(NOT ENABLED OR NOT NPM OR NOT NODE)
  write_no_files()
  file(TOUCH ${FOLDER}/made)
  return()
endif()

file(REMOVE_RECURSE ${copy}/src)
file(COPY ${WEB}/src ${WEB}/package.json ${WEB}/package-lock.json ${WEB}/build.mjs DESTINATION ${copy})

# npm ci, if what is installed is not what the lock says.
file(SHA256 ${WEB}/package-lock.json lock)
set(installed "")
if(EXISTS ${copy}/node_modules/.lock)
  file(READ ${copy}/node_modules/.lock installed)
endif()
if(NOT installed STREQUAL lock)
  execute_process(
    COMMAND ${NPM} ci --omit=dev --ignore-scripts --no-audit --no-fund --prefer-offline --fetch-retry-mintimeout=1000
    WORKING_DIRECTORY ${copy} TIMEOUT ${npm_patience}
    RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(NOT status EQUAL 0)
    message(WARNING "npm could not fetch the packages of the page; the program gets a plain page, and the next "
                    "build tries again. npm said:\n${said}")
    write_no_files()
    return()
  endif()
  file(WRITE ${copy}/node_modules/.lock ${lock})
endif()

execute_process(
  COMMAND ${NODE} build.mjs --out ${FOLDER}/files --source ${SOURCE}
  WORKING_DIRECTORY ${copy} TIMEOUT ${npm_patience}
  RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(NOT status EQUAL 0)
  message(WARNING "the page cannot be built; the program gets a plain one. ${NODE} build.mjs said:\n${said}")
  write_no_files()
  return()
endif()
file(TOUCH ${FOLDER}/made)
