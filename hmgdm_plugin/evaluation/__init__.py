"""What an encoder is worth: yardsticks that judge any embeddings by patient, and the rivals that it is held against."""
