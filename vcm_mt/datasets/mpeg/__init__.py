"""The data sets of MPEG's test conditions, turned into COCO's and COCO-VID's forms."""
