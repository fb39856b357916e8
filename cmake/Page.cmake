# The page of web/, as a source file of the program: ${page_source}. npm fetches its packages into the build folder,
# when package-lock.json has changed. Without npm, or when it cannot fetch them, the program has a plain page.
option(DTRANSPOSE_PAGE "build the live page; needs npm" ON)

set(page_folder ${PROJECT_BINARY_DIR}/page)
set(page_source ${page_folder}/page_files.cpp)
if(DTRANSPOSE_PAGE)
  find_program(NPM npm)
  find_program(NODE NAMES node nodejs)
  if(NOT NPM OR NOT NODE)
    message(WARNING "npm was not found: the program will have a plain page instead of the live one")
  endif()
endif()

file(GLOB_RECURSE page_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/web/src/*)
list(APPEND page_sources ${PROJECT_SOURCE_DIR}/web/package.json ${PROJECT_SOURCE_DIR}/web/package-lock.json
     ${PROJECT_SOURCE_DIR}/web/build.mjs)
# What failed leaves no ${page_folder}/made, and is tried again by the next build.
add_custom_command(OUTPUT ${page_source} ${page_folder}/made
  COMMAND ${CMAKE_COMMAND} -DENABLED=${DTRANSPOSE_PAGE} -DNPM=${NPM} -DNODE=${NODE} -DWEB=${PROJECT_SOURCE_DIR}/web
    -DFOLDER=${page_folder} -DSOURCE=${page_source} -P ${PROJECT_SOURCE_DIR}/cmake/build_page.cmake
  DEPENDS ${page_sources} ${PROJECT_SOURCE_DIR}/cmake/build_page.cmake
  COMMENT "Building the page"
  VERBATIM)
