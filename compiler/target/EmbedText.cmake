# Two uses:
#   include(): embed_text(OUT_VARIABLE FUNCTION FILES...) makes a rule for FUNCTION.cpp and puts its
#              path into OUT_VARIABLE, to be listed among the sources of a library;
#   cmake -DFUNCTION=... -DOUTPUT=... -DFILES=a,b -P EmbedText.cmake: the rule itself.

if(CMAKE_SCRIPT_MODE_FILE)
  string(REPLACE "," ";" paths "${FILES}")
  set(code "// Made from the files it names.\n#include \"compiler/target/EmbeddedText.h\"\n\nnamespace sdopt {\nnamespace {\nconstexpr EmbeddedText kTexts[] = {\n")
  foreach(path IN LISTS paths)
    file(READ "${path}" text)
    get_filename_component(stem "${path}" NAME_WE)
    string(APPEND code "    {\"${stem}\", R\"sdopt(${text})sdopt\"},\n")
  endforeach()
  string(APPEND code "};\n} // namespace\nstd::span<const EmbeddedText> ${FUNCTION}() { return kTexts; }\n} // namespace sdopt\n")
  file(WRITE "${OUTPUT}" "${code}")
  return()
endif()

set(EMBED_TEXT_SCRIPT ${CMAKE_CURRENT_LIST_FILE})

function(embed_text out_variable function)
  set(paths ${ARGN})
  list(SORT paths)
  list(TRANSFORM paths PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  string(REPLACE ";" "," joined "${paths}")
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${function}.cpp)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DFUNCTION=${function} -DOUTPUT=${output} -DFILES=${joined} -P ${EMBED_TEXT_SCRIPT}
    DEPENDS ${paths} ${EMBED_TEXT_SCRIPT}
    VERBATIM)
  set(${out_variable} ${output} PARENT_SCOPE)
endfunction()
