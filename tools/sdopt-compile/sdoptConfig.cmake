# CMake package of sdopt. After find_package(sdopt):
#
#   sdopt_add_package(NAME
#     MODEL   folder or .onnx file
#     OUTPUT  file.sdnpu                (default: NAME.sdnpu in the build folder)
#     [TARGET preset or file] [RECIPE name or file] [SAMPLES folder] [STATISTICS files...]
#     [REPORT folder] [GATE conditions] [BASELINE report.json] [OPTIONS more flags of sdopt-compile...])
#
# makes a target NAME, part of `all`, that runs sdopt-compile when one of its inputs has changed (by its dependency file).
# A gate that fails fails the build.
get_filename_component(_sdopt_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(sdopt_COMPILE "${_sdopt_prefix}/bin/sdopt-compile")
if(NOT EXISTS "${sdopt_COMPILE}")
  set(sdopt_FOUND FALSE)
  set(sdopt_NOT_FOUND_MESSAGE "${sdopt_COMPILE} does not exist")
  return()
endif()

function(sdopt_add_package name)
  cmake_parse_arguments(ARG "" "MODEL;OUTPUT;TARGET;RECIPE;SAMPLES;REPORT;GATE;BASELINE" "STATISTICS;OPTIONS" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "sdopt_add_package(${name}): unknown arguments ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT ARG_MODEL)
    message(FATAL_ERROR "sdopt_add_package(${name}): MODEL is missing")
  endif()
  if(NOT ARG_OUTPUT)
    set(ARG_OUTPUT ${name}.sdnpu)
  endif()
  get_filename_component(output "${ARG_OUTPUT}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_BINARY_DIR}")
  get_filename_component(model "${ARG_MODEL}" ABSOLUTE)
  set(flags)
  foreach(flag IN ITEMS TARGET RECIPE SAMPLES REPORT GATE BASELINE)
    if(ARG_${flag})
      string(TOLOWER ${flag} option)
      set(value "${ARG_${flag}}")
      get_filename_component(path "${value}" ABSOLUTE)
      if(EXISTS "${path}" OR flag STREQUAL REPORT)
        set(value "${path}")
      endif()
      list(APPEND flags --${option} "${value}")
    endif()
  endforeach()
  foreach(file IN LISTS ARG_STATISTICS)
    get_filename_component(path "${file}" ABSOLUTE)
    list(APPEND flags --statistics "${path}")
  endforeach()
  add_custom_command(
    OUTPUT "${output}"
    COMMAND "${sdopt_COMPILE}" "${model}" -o "${output}" --depfile "${output}.d" ${flags} ${ARG_OPTIONS}
    DEPENDS "${sdopt_COMPILE}"
    DEPFILE "${output}.d"
    COMMENT "Compiling ${ARG_MODEL} for the NPU"
    VERBATIM)
  add_custom_target(${name} ALL DEPENDS "${output}")
endfunction()
