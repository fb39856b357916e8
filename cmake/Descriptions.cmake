# The descriptions of the REST interfaces, docs/openapi, as a source file of the program: ${description_source}.
set(description_source ${PROJECT_BINARY_DIR}/openapi/descriptions.cpp)
add_custom_command(OUTPUT ${description_source}
  COMMAND ${CMAKE_COMMAND} -DFOLDER=${PROJECT_SOURCE_DIR}/docs/openapi -DSOURCE=${description_source}
    -P ${PROJECT_SOURCE_DIR}/cmake/embed_descriptions.cmake
  DEPENDS ${PROJECT_SOURCE_DIR}/docs/openapi/control.json ${PROJECT_SOURCE_DIR}/docs/openapi/results.json
    ${PROJECT_SOURCE_DIR}/cmake/embed_descriptions.cmake
  COMMENT "Embedding the descriptions of the REST interfaces"
  VERBATIM)
