using Tanjiren.Cli;

using var cli = CliContext.OfThisProcess();
return await CommandTree.RunAsync(args, cli);
