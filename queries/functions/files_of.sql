-- The list of the files of the given SAEs. `names` has one line per SAE: its id, a tab and its file below `root`. If
-- there are none, the first file: a list of files must not be empty. One text of all names costs a query almost
-- nothing, a list of all files some 25 us per file.
CREATE MACRO files_of(root, names, saes) AS list_transform(
    coalesce(
        nullif(regexp_extract_all(names, concat(
            '(?m)^(?:', array_to_string(list_transform(saes, lambda sae: regexp_escape(sae)), '|'), ')\t(.*)$'
        ), 1), []),
        [regexp_extract(names, '\t(.*)', 1)]
    ),
    lambda name: concat(root, name)
);
