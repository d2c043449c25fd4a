-- Of `names`, one line an SAE: its id, a tab and its file below `root`, the list of the files of the given SAEs. Where there
-- are none, the first: a list of files must not be empty.
-- One text of all names costs a question next to nothing, a list of all files some 25 us a file.
CREATE MACRO files_of(root, names, saes) AS list_transform(
    coalesce(
        nullif(regexp_extract_all(names, concat(
            '(?m)^(?:', array_to_string(list_transform(saes, lambda sae: regexp_escape(sae)), '|'), ')\t(.*)$'
        ), 1), []),
        [regexp_extract(names, '\t(.*)', 1)]
    ),
    lambda name: concat(root, name)
);
