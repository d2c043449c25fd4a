-- Of files named layer=L/width=W/l0=S/..., one a line below `root`, the list of those of one SAE, or of a whole layer
-- where width and L0 are NULL. Where there are none, the first: a list of files must not be empty.
-- One text of all names costs a question next to nothing, a list of all files some 25 us a file.
CREATE MACRO files_of(root, names, in_layer, in_width, in_l0) AS list_transform(
    coalesce(
        nullif(regexp_extract_all(names, concat(
            '[^\n]*/layer=', in_layer, '/width=', coalesce(in_width::VARCHAR, '[0-9]+'),
            '/l0=', coalesce(in_l0::VARCHAR, '-?[0-9]+'), '/[^\n]*'
        )), []),
        [split_part(names, E'\n', 1)]
    ),
    lambda name: concat(root, name)
);
