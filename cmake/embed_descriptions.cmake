# Run by the build: writes SOURCE out of the files of FOLDER.
file(READ ${FOLDER}/control.json control)
file(READ ${FOLDER}/results.json results)
file(WRITE ${SOURCE} "#include \"http/openapi.hpp\"

namespace dtranspose {

std::string_view control_description() { return R\"json(${control})json\"; }

std::string_view results_description() { return R\"json(${results})json\"; }

} // namespace dtranspose
")
