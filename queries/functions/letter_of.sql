-- The letter of a concept of the family of first letters, as in first-letter.s.
CREATE MACRO letter_of(concept) AS split_part(concept, '.', 2);
