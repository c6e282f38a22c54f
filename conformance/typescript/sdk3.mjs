// Imported before a test file, it has that file run on the SDK's previous major.

process.env.STEPWELL_SDK = "3";
